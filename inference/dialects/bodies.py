"""JSON bodies, written and kept: requests as bytes, replies as one line of text, counts as numbers. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from inference.errors import RequestRefused


def encode(body: Mapping[str, Any]) -> bytes:
    """A request body. Raises RequestRefused for what JSON cannot hold (half a surrogate pair, huge integers)."""
    try:
        return orjson.dumps(body, default=_plain)
    except orjson.JSONEncodeError as error:
        raise RequestRefused(f"The request cannot be written as JSON: {error}.") from error


def one_line(said: Mapping[str, Any], body: bytes | None) -> str:
    """A reply object as one line of JSON: its own text where that is one line already, else written anew."""
    text = body.strip() if body is not None else b""
    return (text if text and b"\n" not in text and b"\r" not in text else orjson.dumps(said)).decode()


def count(value: Any) -> int | None:
    """A whole number as it stands; None for anything else."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _plain(value: Any) -> Any:
    """For orjson: a mapping or sequence that is no dict or list."""
    return dict(value) if isinstance(value, Mapping) else list(value)
