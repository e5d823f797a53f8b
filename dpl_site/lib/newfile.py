"""Files that appear whole or not at all, whoever is killed while they are made."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path


def place(path: Path, value: str) -> None:
    """Put a whole file, readable for this user alone, where none is; one that is there stays."""
    descriptor, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(value)
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(draft, path)
    finally:
        os.unlink(draft)
