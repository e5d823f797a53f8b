"""Ollama's streams, /api/chat and /api/generate, read piece by piece. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from dpl_site.lib.sse import Lines, LineTooLong
from inference.dialects.bodies import count
from inference.dialects.deltas import CallPart, Delta, Usage
from inference.dialects.faults import error_in_reply
from inference.errors import InvalidReply, ReplyTooLarge, StreamCut


class OllamaDeltas:
    """One answer in lines of JSON."""

    def __init__(self, max_line_bytes: int) -> None:
        self._lines = Lines(max_line_bytes)
        self._calls = 0
        self.is_done = False

    def feed(self, data: bytes) -> list[Delta]:
        """What these bytes add."""
        try:
            lines = self._lines.feed(data)
        except LineTooLong as error:
            raise ReplyTooLarge(f"The answer passed its limit: {error}.") from error
        return [self._delta(line) for line in lines if line.strip()]

    def finish(self) -> list[Delta]:
        """The last line without its end, when it is whole."""
        rest = self._lines.rest()
        found = [self._delta(rest)] if rest.strip() else []
        if not self.is_done:
            raise StreamCut("The engine ended its answer without being done.")
        return found

    def _delta(self, line: bytes) -> Delta:
        chunk = _object(line)
        if chunk.get("error"):
            raise error_in_reply(chunk["error"])
        said = chunk.get("message")
        message = said if isinstance(said, dict) else {}
        calls = self._parts(message.get("tool_calls"))
        self.is_done = self.is_done or chunk.get("done") is True
        return Delta(
            text=str(message.get("content") or chunk.get("response") or ""),
            thinking=str(message.get("thinking") or chunk.get("thinking") or ""),
            calls=calls,
            logprobs=tuple(chunk.get("logprobs") or ()),
            finish_reason=self._reason(chunk) if self.is_done else "",
            usage=_usage(chunk) if self.is_done else None,
        )

    def _parts(self, calls: Any) -> tuple[CallPart, ...]:
        parts = []
        for call in calls if isinstance(calls, list) else ():
            function = call.get("function") if isinstance(call, dict) else None
            if not isinstance(function, dict):
                raise InvalidReply("The engine streamed a tool call of an unknown shape.")
            arguments = orjson.dumps(function.get("arguments") or {}).decode()
            identity = str(call.get("id") or f"call_{self._calls}")
            parts.append(CallPart(self._calls, identity, str(function.get("name") or ""), arguments))
            self._calls += 1
        return tuple(parts)

    def _reason(self, chunk: Mapping[str, Any]) -> str:
        """Ollama says `stop` after tool calls too."""
        reason = str(chunk.get("done_reason") or "stop")
        return "tool_calls" if self._calls and reason == "stop" else reason


def _object(line: bytes) -> dict[str, Any]:
    try:
        chunk = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise InvalidReply(f"The engine streamed a line that is not JSON: {error}.") from error
    if not isinstance(chunk, dict):
        raise InvalidReply("The engine streamed a line that is not a JSON object.")
    return chunk


def _usage(chunk: Mapping[str, Any]) -> Usage:
    """What is zero, Ollama leaves out."""
    return Usage(count(chunk.get("prompt_eval_count")) or 0, count(chunk.get("eval_count")) or 0)
