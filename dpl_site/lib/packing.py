"""How long texts are kept: plain while short, deflated when that saves space."""

from __future__ import annotations

import zlib

WORTH_PACKING = 1024


def pack(text: str) -> tuple[str | None, bytes | None]:
    """`(text, None)` for short texts, `(None, deflated)` for long ones."""
    if len(text) < WORTH_PACKING:
        return text, None
    return None, zlib.compress(text.encode(), 1)


def unpack(text: str | None, packed: bytes | memoryview | None) -> str:
    """The text that `pack` was given."""
    if packed is None:
        return text or ""
    return zlib.decompress(bytes(packed)).decode()
