"""How Go writes strings and instants, as the dialects that come from Go programs need it. Pure."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_encode_ascii = json.JSONEncoder(separators=(",", ":")).encode
_ESCAPED = re.compile("[<>&\u2028\u2029]")


def go_json(value: object) -> str:
    """A value as Go's encoder writes it: no spaces, UTF-8 as it is, and < > & escaped."""
    text = _encode(value)
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            # Half of a surrogate pair has no UTF-8; escaped it comes back to the client unharmed.
            text = _encode_ascii(value)
    return _ESCAPED.sub(_escape, text) if _ESCAPED.search(text) else text


def plain_json(value: object) -> str:
    """A value without spaces, UTF-8 as it is, as C++ and Python programs write it."""
    text = _encode(value)
    try:
        text.encode()
    except UnicodeEncodeError:
        return _encode_ascii(value)
    return text


class _Second:
    """The part of an instant that changes only once a second."""

    at = -1
    text = ""


def created_at(epoch_ns: int | None = None) -> str:
    """An instant (now by default) with nanoseconds, trailing zeros dropped, as Go's RFC3339Nano does."""
    second, rest = divmod(time.time_ns() if epoch_ns is None else epoch_ns, 1_000_000_000)
    if second != _Second.at:
        _Second.at, _Second.text = second, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
    fraction = f"{rest:09d}".rstrip("0")
    return f"{_Second.text}.{fraction}Z" if fraction else f"{_Second.text}Z"


def nanoseconds(seconds: float) -> int:
    """A duration as Go counts it; at least one, since a zero would be left out of the answer."""
    return max(1, int(seconds * 1e9))


def fields(values: Mapping[str, object]) -> str:
    """The members of a JSON object without its braces."""
    return go_json(values)[1:-1]


def _escape(match: re.Match[str]) -> str:
    return f"\\u{ord(match[0]):04x}"
