"""Takes the event that tells the tokens out of an OpenAI stream, where only DPL asked for it. Pure."""

from __future__ import annotations

from typing import Any

import orjson

from inference.dialects.bodies import count
from inference.dialects.deltas import Usage

ASK = {"stream_options": {"include_usage": True}}
"""What makes an engine tell them."""


class HiddenUsage:
    """One stream, as its whole lines come. `usage` is what the event told that was taken out, None before it came."""

    def __init__(self) -> None:
        self.usage: Usage | None = None
        self._is_after_it = False

    def take(self, lines: bytes) -> bytes:
        """The same lines without that event; what else they hold stays as it is."""
        if not self._is_after_it and b'"usage"' not in lines:
            return lines
        return b"".join([line for line in lines.splitlines(keepends=True) if not self._is_hidden(line)])

    def _is_hidden(self, line: bytes) -> bool:
        """Whether a line is that event's, or the blank one that ends it."""
        was_after_it, self._is_after_it = self._is_after_it, False
        if was_after_it and not line.strip():
            return True
        told = _usage_of(line)
        if told is None:
            return False
        self.usage, self._is_after_it = told, True
        return True


def _usage_of(line: bytes) -> Usage | None:
    """What an event tells that is about nothing but tokens; None for every other."""
    if not line.startswith(b"data: {") or b'"usage"' not in line:
        return None
    try:
        chunk: dict[str, Any] = orjson.loads(line[6:])
    except orjson.JSONDecodeError:
        return None
    usage = chunk.get("usage")
    if chunk.get("choices") != [] or not isinstance(usage, dict):
        return None
    return Usage(count(usage.get("prompt_tokens")), count(usage.get("completion_tokens")))
