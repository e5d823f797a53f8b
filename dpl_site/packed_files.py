"""Static files as browsers get them: our own scripts and looks are compressed when a process starts.

Packages' files come compressed from set-up; whitenoise serves a compressed file where it finds one.
"""

from __future__ import annotations

import gzip
import os
import tempfile
from pathlib import Path
from typing import Any

from django.conf import settings
from whitenoise.middleware import WhiteNoiseMiddleware  # type: ignore[import-untyped]  # it has no types
from whitenoise.responders import StaticFile  # type: ignore[import-untyped]  # it has no types

KINDS = (".js", ".css", ".svg")


class PackedFiles(WhiteNoiseMiddleware):  # type: ignore[misc]  # of a package without types
    """Whitenoise, with our own files compressed."""

    def get_static_file(self, path: str, url: str, stat_cache: Any = None) -> StaticFile:
        """A file with its compressed form, if that is ours to make."""
        found = super().get_static_file(path, url, stat_cache)
        if stat_cache is None or not _is_ours(path):
            return found
        packed = pack(Path(path), settings.DPL_DATA_DIR / "packed" / f"{url.strip('/').replace('/', '-')}.gz")
        headers = [
            (name, value)
            for name, value in found.alternatives[-1][2]
            if name in ("Content-Type", "Cache-Control", "Access-Control-Allow-Origin")
        ]
        return StaticFile(path, headers, encodings={"gzip": str(packed)})


def pack(source: Path, packed: Path) -> Path:
    """Compress a file unless that is done already; it appears whole, whoever is killed or does the same beside."""
    written = source.stat().st_mtime_ns
    if packed.exists() and packed.stat().st_mtime_ns == written:
        return packed
    packed.parent.mkdir(exist_ok=True)
    descriptor, draft = tempfile.mkstemp(dir=packed.parent)
    with os.fdopen(descriptor, "wb") as file:
        file.write(gzip.compress(source.read_bytes(), 9, mtime=0))
    os.utime(draft, ns=(written, written))
    os.replace(draft, packed)
    return packed


def _is_ours(path: str) -> bool:
    return path.startswith(f"{settings.BASE_DIR / 'static'}{os.sep}") and path.endswith(KINDS)
