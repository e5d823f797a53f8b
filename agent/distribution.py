"""The agent as a wheel, made from its own installed files: how the site gives it out, without a build or a network.

The same files make the same bytes: names are sorted, times are fixed, nothing is compressed.
"""

from __future__ import annotations

import base64
import io
import zipfile
from pathlib import Path

from agent import __version__

NAME = "dpl_agent"
REQUIRES = ("psutil>=6", "nvidia-ml-py>=12")
REQUIRES_PYTHON = ">=3.11"
SUMMARY = "The program that DPL runs on each node: it measures the machine and holds its lock."
ENTRY_POINT = "dpl-agent = agent.__main__:main"
# The first moment that a zip file can tell.
_TIME = (1980, 1, 1, 0, 0, 0)
_MODE = 0o644 << 16


def wheel() -> tuple[str, bytes]:
    """The wheel's file name and its bytes, for any Python 3 and any system."""
    folder = f"{NAME}-{__version__}.dist-info"
    members = {
        **_modules(),
        f"{folder}/METADATA": _metadata().encode(),
        f"{folder}/WHEEL": b"Wheel-Version: 1.0\nGenerator: dpl-agent\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{folder}/entry_points.txt": f"[console_scripts]\n{ENTRY_POINT}\n".encode(),
    }
    record = "".join(f"{name},sha256={_digest(data)},{len(data)}\n" for name, data in members.items())
    members[f"{folder}/RECORD"] = f"{record}{folder}/RECORD,,\n".encode()
    return f"{NAME}-{__version__}-py3-none-any.whl", _zipped(members)


def _modules() -> dict[str, bytes]:
    package = Path(__file__).resolve().parent
    inside = sorted(path.relative_to(package) for path in package.rglob("*.py"))
    # What building leaves behind is not the program.
    return {
        f"agent/{path.as_posix()}": (package / path).read_bytes()
        for path in inside
        if path.parts[0] != "build"
    }


def _metadata() -> str:
    lines = [
        "Metadata-Version: 2.1",
        "Name: dpl-agent",
        f"Version: {__version__}",
        f"Summary: {SUMMARY}",
        "License: Apache-2.0",
        f"Requires-Python: {REQUIRES_PYTHON}",
        *(f"Requires-Dist: {requirement}" for requirement in REQUIRES),
    ]
    return "\n".join(lines) + "\n"


def _digest(data: bytes) -> str:
    # Here, as it loads OpenSSL, which an agent that runs does without.
    import hashlib

    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


def _zipped(members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for name, data in members.items():
            info = zipfile.ZipInfo(name, _TIME)
            info.external_attr = _MODE
            info.create_system = 3
            archive.writestr(info, data)
    return out.getvalue()
