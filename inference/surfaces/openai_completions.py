"""OpenAI's plain completions (`/v1/completions`), which go on with a text, as clients speak them. Pure."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import orjson

from dpl_site.lib.refusals import Refused
from inference.dialects.base import Call, Generation
from inference.dialects.deltas import Delta, Usage, Whole
from inference.dialects.hidden_usage import ASK
from inference.dialects.openai import COMPLETIONS
from inference.errors import RequestRefused
from inference.surfaces.base import Asked, Writer, flag, model_of, read_body, with_model
from inference.surfaces.openai import DONE, OpenAIChat, event, hides_usage, usage_of, wants_usage

_NOT_SAMPLING = frozenset({"model", "prompt", "stream", "stream_options", "echo", "best_of", "n"})


class OpenAICompletions(OpenAIChat):
    """`/v1/completions`; a stream of it begins, ends and fails as a chat's."""

    def read(self, raw: bytes) -> Asked:
        """The request; the prompt is a text, or a list of texts or tokens, which is the engine's to understand."""
        body = read_body(raw)
        if not isinstance(body.get("prompt"), str | list) or body["prompt"] == []:
            message = "prompt must be a text, or a list of them."
            raise Refused(message, code="bad_prompt", detail={"field": "prompt"})
        return Asked(raw, body, model_of(body), flag(body, "stream", default=False))

    def own_call(
        self, asked: Asked, model: str, *, wants_stream: bool, context: int = 0, counts: bool = False
    ) -> Call:
        """The same request; a stream for a client that wants none carries the usage, to be put together."""
        if wants_stream and not asked.wants_stream:
            return Call(COMPLETIONS, with_model(asked, model, stream=True, **ASK), True)
        more = ASK if counts and hides_usage(asked) else {}
        return Call(COMPLETIONS, with_model(asked, model, **more), asked.wants_stream)

    def generation(self, asked: Asked, model: str) -> Generation:
        """The prompt, for an engine that takes one text at a time. Raises RequestRefused for several, or tokens."""
        sampling = {name: value for name, value in asked.body.items() if name not in _NOT_SAMPLING}
        return Generation(model, (), sampling, wants_stream=True, prompt=_one_text(asked.body))

    def writer(self, asked: Asked, model: str, request_id: str) -> Writer:
        """A writer of chunks, or of one completion."""
        return CompletionsWriter(model, request_id, wants_usage=wants_usage(asked.body))


class CompletionsWriter:
    """Chunks of one answer, which is nothing but text."""

    def __init__(self, model: str, request_id: str, *, wants_usage: bool) -> None:
        head = {"id": f"cmpl-{request_id}", "object": "text_completion", "created": int(time.time())}
        self._head: dict[str, Any] = head | {"model": model}
        self._wants_usage = wants_usage
        self._usage = Usage()

    def piece(self, delta: Delta) -> bytes:
        """A chunk with text, or with how it ended."""
        self._usage = delta.usage or self._usage
        if not delta.text and not delta.finish_reason:
            return b""
        return event(self._head | {"choices": [_choice(delta.text, delta.finish_reason, delta.logprobs)]})

    def end(self) -> bytes:
        """The usage, when it was asked for, and `[DONE]`."""
        told = self._head | {"choices": [], "usage": usage_of(self._usage)}
        return (event(told) if self._wants_usage else b"") + DONE

    def whole(self, answer: Whole) -> bytes:
        """One completion."""
        choice = _choice("".join(answer.text), answer.finish_reason or "stop", answer.logprobs)
        return orjson.dumps(self._head | {"choices": [choice], "usage": usage_of(answer.usage)})


def _choice(text: str, finish_reason: str, logprobs: Any) -> dict[str, Any]:
    told = {"content": list(logprobs)} if logprobs else None
    return {"index": 0, "text": text, "logprobs": told, "finish_reason": finish_reason or None}


def _one_text(body: Mapping[str, Any]) -> str:
    prompt = body["prompt"]
    if isinstance(prompt, list) and len(prompt) == 1:
        prompt = prompt[0]
    if not isinstance(prompt, str):
        raise RequestRefused("The engine takes one prompt, as a text; send several one by one.")
    return prompt
