"""The agent as a wheel, packed from its own folder: nodes install it from this server, whatever else they reach.

The same files give the same bytes, so that the name tells which version it is. The agent stands alone: its files
are read, never imported.
"""

from __future__ import annotations

import base64
import hashlib
import io
import re
import tomllib
import zipfile
from functools import lru_cache
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parents[2] / "agent"
_EPOCH = (1980, 1, 1, 0, 0, 0)
_VERSION = re.compile(r'^__version__ = "([^"]+)"', re.M)


def name() -> str:
    """The wheel's file name."""
    return f"dpl_agent-{_version()}-py3-none-any.whl"


@lru_cache(maxsize=1)
def wheel() -> tuple[str, bytes]:
    """The wheel's file name and content; packed once in the life of a process."""
    info = f"dpl_agent-{_version()}.dist-info"
    files = {f"agent/{path.relative_to(FOLDER)}": path.read_bytes() for path in _modules()}
    files[f"{info}/METADATA"] = _metadata().encode()
    files[f"{info}/WHEEL"] = b"Wheel-Version: 1.0\nGenerator: dpl\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    files[f"{info}/entry_points.txt"] = _entry_points().encode()
    record = f"{info}/RECORD"
    files[record] = "".join([*map(_line, files.items()), f"{record},,\n"]).encode()
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, data in files.items():
            member = zipfile.ZipInfo(path, _EPOCH)
            member.external_attr = 0o644 << 16
            member.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(member, data)
    return name(), content.getvalue()


def _modules() -> list[Path]:
    """All but what building it by hand leaves behind."""
    found = sorted(FOLDER.rglob("*.py"))
    return [path for path in found if path.relative_to(FOLDER).parts[0] not in ("build", "__pycache__")]


@lru_cache(maxsize=1)
def _version() -> str:
    found = _VERSION.search((FOLDER / "__init__.py").read_text(encoding="utf-8"))
    if found is None:
        raise ValueError("agent/__init__.py names no __version__")
    return found[1]


def _project() -> dict[str, Any]:
    project: dict[str, Any] = tomllib.loads((FOLDER / "pyproject.toml").read_text(encoding="utf-8"))[
        "project"
    ]
    return project


def _metadata() -> str:
    project = _project()
    lines = [
        "Metadata-Version: 2.1",
        "Name: dpl-agent",
        f"Version: {_version()}",
        f"Summary: {project['description']}",
        f"Requires-Python: {project['requires-python']}",
        *(f"Requires-Dist: {need}" for need in project["dependencies"]),
    ]
    return "\n".join(lines) + "\n"


def _entry_points() -> str:
    lines = [f"{command} = {target}" for command, target in sorted(_project()["scripts"].items())]
    return "\n".join(["[console_scripts]", *lines]) + "\n"


def _line(file: tuple[str, bytes]) -> str:
    path, data = file
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
    return f"{path},sha256={digest},{len(data)}\n"
