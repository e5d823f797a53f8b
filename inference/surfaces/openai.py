"""OpenAI's chat completions as clients speak them. Pure."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Literal

import orjson

from dpl_site.lib.refusals import Refused, error_body
from dpl_site.lib.refusals import Surface as Words
from inference.dialects.base import Call, Generation
from inference.dialects.deltas import CallPart, Delta, Usage, Whole
from inference.dialects.hidden_usage import ASK
from inference.dialects.openai import CHAT
from inference.surfaces.base import (
    Asked,
    Unnamed,
    Writer,
    flag,
    messages_of,
    model_of,
    prefix_of,
    read_body,
    with_model,
)

ROLES = frozenset({"system", "developer", "user", "assistant", "tool", "function"})
_NOT_SAMPLING = frozenset({"model", "messages", "stream", "stream_options"})
DONE = b"data: [DONE]\n\n"


class OpenAIChat(Unnamed):
    """`/v1/chat/completions`."""

    streams_unless_told = False
    dialect = "openai"
    embeds: Literal[False] = False
    stream_type = "text/event-stream"

    def read(self, raw: bytes) -> Asked:
        """The request; messages may not be empty."""
        body = read_body(raw)
        if not messages_of(body, roles=ROLES):
            message = "messages is empty. Send at least one message."
            raise Refused(message, code="bad_messages", detail={"field": "messages"})
        wants_stream = flag(body, "stream", default=self.streams_unless_told)
        return Asked(raw, body, model_of(body), wants_stream, prefix=prefix_of(body["messages"]))

    def own_call(
        self, asked: Asked, model: str, *, wants_stream: bool, context: int = 0, counts: bool = False
    ) -> Call:
        """The same request; a stream for a client that wants none carries the usage, to be put together."""
        if wants_stream and not asked.wants_stream:
            return Call(CHAT, with_model(asked, model, stream=True, **ASK), True)
        more = ASK if counts and hides_usage(asked) else {}
        return Call(CHAT, with_model(asked, model, **more), asked.wants_stream)

    def generation(self, asked: Asked, model: str) -> Generation:
        """Messages and parameters as they are: DPL's own words are OpenAI's."""
        sampling = {name: value for name, value in asked.body.items() if name not in _NOT_SAMPLING}
        return Generation(model, asked.body["messages"], sampling, wants_stream=True)

    def writer(self, asked: Asked, model: str, request_id: str) -> Writer:
        """A writer of chunks, or of one completion."""
        return OpenAIWriter(model, request_id, wants_usage=wants_usage(asked.body))

    def ends(self, tail: bytes) -> bool:
        """`[DONE]`, or at least a finish_reason: transformers serve sends nothing after it."""
        return b"[DONE]" in tail or b'"finish_reason":"' in tail.replace(b" ", b"")

    def late_error(self, message: str, code: str, status: int) -> bytes:
        """An event that the clients of OpenAI raise an error for; the blank line ends one that broke off."""
        return b"\n" + event(error_body(Words.OPENAI, message, code, status))

    def ping(self) -> bytes:
        """A comment, which every reader of events passes over."""
        return b": ping\n\n"


class OpenAIWriter:
    """Chunks of one answer."""

    def __init__(self, model: str, request_id: str, *, wants_usage: bool) -> None:
        self._head = {"id": f"chatcmpl-{request_id}", "created": int(time.time()), "model": model}
        self._wants_usage = wants_usage
        self._usage = Usage()
        self._has_begun = False

    def piece(self, delta: Delta) -> bytes:
        """A chunk; the first one names the role."""
        self._usage = delta.usage or self._usage
        said = _said(delta)
        if not said and not delta.finish_reason:
            return b""
        if not self._has_begun:
            self._has_begun = True
            said = {"role": "assistant"} | said
        choice: dict[str, Any] = {"index": 0, "delta": said, "finish_reason": delta.finish_reason or None}
        if delta.logprobs:
            choice["logprobs"] = {"content": list(delta.logprobs)}
        return self._chunk([choice])

    def end(self) -> bytes:
        """The usage, when it was asked for, and `[DONE]`."""
        usage = self._chunk([], usage=usage_of(self._usage)) if self._wants_usage else b""
        return usage + DONE

    def whole(self, answer: Whole) -> bytes:
        """One completion."""
        message: dict[str, Any] = {"role": "assistant", "content": "".join(answer.text)}
        if answer.thinking:
            message["reasoning_content"] = "".join(answer.thinking)
        if answer.calls:
            message["content"] = message["content"] or None
            message["tool_calls"] = [_call(call) for _, call in sorted(answer.calls.items())]
        choice = {"index": 0, "message": message, "finish_reason": answer.finish_reason or "stop"}
        if answer.logprobs:
            choice["logprobs"] = {"content": answer.logprobs}
        made = self._head | {
            "object": "chat.completion",
            "choices": [choice],
            "usage": usage_of(answer.usage),
        }
        return orjson.dumps(made)

    def _chunk(self, choices: list[dict[str, Any]], **more: Any) -> bytes:
        return event(self._head | {"object": "chat.completion.chunk", "choices": choices} | more)


def _said(delta: Delta) -> dict[str, Any]:
    said: dict[str, Any] = {}
    if delta.text:
        said["content"] = delta.text
    if delta.thinking:
        said["reasoning_content"] = delta.thinking
    if delta.calls:
        said["tool_calls"] = [_part(part) for part in delta.calls]
    return said


def _part(part: CallPart) -> dict[str, Any]:
    function = {"name": part.name} if part.name else {}
    made: dict[str, Any] = {"index": part.index, "function": function | {"arguments": part.arguments}}
    return made | ({"id": part.id, "type": "function"} if part.id else {})


def _call(call: dict[str, str]) -> dict[str, Any]:
    function = {"name": call["name"], "arguments": call["arguments"]}
    return {"id": call["id"], "type": "function", "function": function}


def wants_usage(body: Mapping[str, Any]) -> bool:
    """Whether the client asks for the usage at the end of its stream."""
    options = body.get("stream_options")
    return isinstance(options, dict) and options.get("include_usage") is True


def hides_usage(asked: Asked) -> bool:
    """Whether this is a stream whose tokens the client did not ask for, though DPL counts them."""
    return asked.wants_stream and not asked.body.get("stream_options")


def usage_of(usage: Usage) -> dict[str, int]:
    """OpenAI's usage; what no engine told is zero."""
    read, written = usage.prompt_tokens or 0, usage.completion_tokens or 0
    return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}


def event(value: Any) -> bytes:
    """One event of a stream."""
    return b"data: " + orjson.dumps(value) + b"\n\n"
