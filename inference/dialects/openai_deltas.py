"""OpenAI's event streams of chat completions, read piece by piece. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from dpl_site.lib.sse import Events, LineTooLong
from inference.dialects.bodies import count
from inference.dialects.deltas import CallPart, Delta, Usage
from inference.dialects.faults import error_in_reply
from inference.errors import InvalidReply, ReplyTooLarge, StreamCut


class OpenAIDeltas:
    """The first choice of one answer. A finish_reason ends it; `[DONE]` is not needed (transformers sends none)."""

    def __init__(self, max_event_bytes: int) -> None:
        self._events = Events(max_event_bytes)
        self._has_ended = False
        self.is_done = False

    def feed(self, data: bytes) -> list[Delta]:
        """What these bytes add."""
        try:
            events = self._events.feed(data)
        except LineTooLong as error:
            raise ReplyTooLarge(f"The answer passed its limit: {error}.") from error
        return [delta for event in events if (delta := self._delta(event)) is not None]

    def finish(self) -> list[Delta]:
        """The last event without its blank line, when it is whole."""
        found = [delta for event in self._events.rest() if (delta := self._delta(event)) is not None]
        if not (self.is_done or self._has_ended):
            raise StreamCut("The engine's answer broke off before its end.")
        return found

    def _delta(self, event: bytes) -> Delta | None:
        if event.strip() == b"[DONE]":
            self.is_done = True
            return None
        chunk = _object(event)
        if chunk.get("error"):
            raise error_in_reply(chunk["error"])
        choices: list[dict[str, Any]] = chunk.get("choices") or []
        choice: dict[str, Any] = next((one for one in choices if not one.get("index")), {})
        delta = choice.get("delta") or {}
        reason = str(choice.get("finish_reason") or "")
        self._has_ended = self._has_ended or bool(reason)
        logprobs = choice.get("logprobs") or {}
        return Delta(
            text=str(delta.get("content") or choice.get("text") or ""),
            thinking=str(delta.get("reasoning_content") or delta.get("reasoning") or ""),
            calls=tuple(_part(place, call) for place, call in enumerate(delta.get("tool_calls") or ())),
            logprobs=tuple(logprobs.get("content") or ()) if isinstance(logprobs, dict) else (),
            finish_reason=reason,
            usage=_usage(chunk.get("usage")),
        )


def _object(event: bytes) -> dict[str, Any]:
    try:
        chunk = orjson.loads(event)
    except orjson.JSONDecodeError as error:
        raise InvalidReply(f"The engine streamed an event that is not JSON: {error}.") from error
    if not isinstance(chunk, dict):
        raise InvalidReply("The engine streamed an event that is not a JSON object.")
    return chunk


def _part(place: int, call: Mapping[str, Any]) -> CallPart:
    function = call.get("function") or {}
    index = call.get("index")
    return CallPart(
        index if isinstance(index, int) else place,
        str(call.get("id") or ""),
        str(function.get("name") or ""),
        str(function.get("arguments") or ""),
    )


def _usage(said: Any) -> Usage | None:
    if not isinstance(said, dict):
        return None
    return Usage(count(said.get("prompt_tokens")), count(said.get("completion_tokens")))
