"""Small files of the kernel: one number or word each, None where there is none or it cannot be read now."""

from __future__ import annotations

import re
from pathlib import Path

SYS = Path("/sys")
MAX_FILE = 64 * 1024


def word(path: Path) -> str | None:
    """A file's text without white space around it; None where it is empty or cannot be read."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_FILE)
    except OSError:
        # A card that sleeps, is unplugged or belongs to another user answers with all kinds of errors.
        return None
    return raw.decode("utf-8", "replace").strip("\0 \t\r\n") or None


def number(path: Path) -> int | None:
    """A file's whole number, 0 or more; None for anything else."""
    text = word(path)
    return int(text) if text is not None and re.fullmatch(r"\d{1,19}", text, re.ASCII) else None


def scaled(path: Path, unit: float, digits: int = 1) -> float | None:
    """A file's number in a larger unit: microwatts by 1e6, say."""
    value = number(path)
    return None if value is None else round(value / unit, digits)


def first_scaled(folder: Path, names: tuple[str, ...], unit: float) -> float | None:
    """The same for the first of several files that tells."""
    return next((value for name in names if (value := scaled(folder / name, unit)) is not None), None)
