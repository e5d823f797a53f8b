"""Ollama's /api/chat and /api/generate as clients speak them. Pure."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import orjson

from dpl_site.lib.clock import iso, utc_now
from dpl_site.lib.refusals import Refused
from inference.dialects.base import Call, Generation
from inference.dialects.deltas import CallPart, Delta, Usage, Whole
from inference.dialects.ollama import CHAT, GENERATE
from inference.dialects.ollama_words import in_context
from inference.surfaces.base import (
    Asked,
    Unnamed,
    Writer,
    flag,
    messages_of,
    model_of,
    prefix_of,
    prefix_of_text,
    read_body,
    with_model,
)

ROLES = frozenset({"system", "user", "assistant", "tool"})
_TO_OPENAI = {"num_predict": "max_tokens", "repeat_penalty": "repetition_penalty"}
_ENGINES_OWN = frozenset(
    {"num_ctx", "num_gpu", "main_gpu", "num_thread", "num_batch", "use_mmap", "num_keep"}
)
"""Options about how Ollama loads a model: no other engine has them."""
_KEPT = frozenset({"tools", "logprobs", "top_logprobs"})


class _Ollama(Unnamed):
    """What both have in common."""

    dialect = "ollama"
    embeds: Literal[False] = False
    stream_type = "application/x-ndjson"
    path = CHAT

    def own_call(
        self, asked: Asked, model: str, *, wants_stream: bool, context: int = 0, counts: bool = False
    ) -> Call:
        """The same request: Ollama frees its slot at once when the connection closes, streaming or not."""
        changes = in_context(asked.body, context)
        return Call(self.path, with_model(asked, model, **changes), asked.wants_stream)

    def ends(self, tail: bytes) -> bool:
        """A last line with `done`; a request that only loads a model has one, too."""
        return b'"done":true' in tail.replace(b" ", b"")

    def late_error(self, message: str, code: str, status: int) -> bytes:
        """The line that Ollama's clients raise an error for."""
        return orjson.dumps({"error": message}) + b"\n"

    def writer(self, asked: Asked, model: str, request_id: str) -> Writer:
        """A writer of lines, or of one reply."""
        kind = OllamaWriter if self._says(asked.body) else LoadWriter
        return kind(asked.model or model, is_chat=self.path == CHAT)

    def _says(self, body: Mapping[str, Any]) -> bool:
        """Whether there is something to answer; without it, it is asked that the model be loaded."""
        return bool(body.get("messages" if self.path == CHAT else "prompt"))


class OllamaChat(_Ollama):
    """`/api/chat`."""

    def read(self, raw: bytes) -> Asked:
        """The request; without messages it asks that the model be loaded."""
        body = read_body(raw)
        if body.get("messages") is not None:
            messages_of(body, roles=ROLES)
        prefix = prefix_of(body.get("messages") or ())
        return Asked(raw, body, model_of(body), flag(body, "stream", default=True), prefix=prefix)

    def generation(self, asked: Asked, model: str) -> Generation:
        """Messages with pictures as parts and tool calls with JSON text."""
        if not self._says(asked.body):
            return _one_token(model)
        messages = _answered([_message(one) for one in asked.body.get("messages") or ()])
        return Generation(model, messages, _sampling(asked.body), wants_stream=True)

    def ping(self) -> bytes:
        """A line without content, which clients add to nothing."""
        return _ping({"message": {"role": "assistant", "content": ""}})


class OllamaGenerate(_Ollama):
    """`/api/generate`."""

    path = GENERATE

    def read(self, raw: bytes) -> Asked:
        """The request; without a prompt it asks that the model be loaded."""
        body = read_body(raw)
        prompt = body.get("prompt") or ""
        if not isinstance(prompt, str):
            raise Refused("prompt must be text.", code="bad_value", detail={"field": "prompt"})
        prefix = prefix_of_text(prompt)
        return Asked(raw, body, model_of(body), flag(body, "stream", default=True), prefix=prefix)

    def generation(self, asked: Asked, model: str) -> Generation:
        """The prompt as the user's message, after the system's."""
        body = asked.body
        if not self._says(body):
            return _one_token(model)
        system = [{"role": "system", "content": body["system"]}] if body.get("system") else []
        user = _message({"role": "user", "content": body.get("prompt") or "", "images": body.get("images")})
        return Generation(model, [*system, user], _sampling(body), wants_stream=True)

    def ping(self) -> bytes:
        """A line without content, which clients add to nothing."""
        return _ping({"response": ""})


class OllamaWriter:
    """Lines of one answer."""

    def __init__(self, model: str, *, is_chat: bool) -> None:
        self._model, self._is_chat = model, is_chat
        self._began = time.monotonic()
        self._calls: dict[int, dict[str, str]] = {}
        self._reason = "stop"
        self._usage = Usage()

    def piece(self, delta: Delta) -> bytes:
        """A line with what can be shown; tool calls are told whole, at the end."""
        self._usage = delta.usage or self._usage
        self._reason = delta.finish_reason or self._reason
        for part in delta.calls:
            self._gather(part)
        if not delta.text and not delta.thinking:
            return b""
        told = self._said(delta.text, delta.thinking) | _likelihoods(delta.logprobs)
        return self._line(told, done=False)

    def end(self) -> bytes:
        """Tool calls, if there were any, then the line that says that it is done."""
        calls = [_call(call) for _, call in sorted(self._calls.items())]
        said = self._line(self._said("", "", calls), done=False) if calls else b""
        return said + self._line(self._said("", ""), done=True)

    def whole(self, answer: Whole) -> bytes:
        """One reply."""
        self._usage, self._reason = answer.usage, answer.finish_reason or "stop"
        calls = [_call(call) for _, call in sorted(answer.calls.items())]
        said = self._said("".join(answer.text), "".join(answer.thinking), calls)
        return self._line(said | _likelihoods(answer.logprobs), done=True).strip()

    def _gather(self, part: CallPart) -> None:
        call = self._calls.setdefault(part.index, {"id": "", "name": "", "arguments": ""})
        call["id"] = part.id or call["id"]
        call["name"] += part.name
        call["arguments"] += part.arguments

    def _said(self, text: str, thinking: str, calls: list[Any] | None = None) -> dict[str, Any]:
        more: dict[str, Any] = {"thinking": thinking} if thinking else {}
        if not self._is_chat:
            return {"response": text} | more
        if calls:
            more["tool_calls"] = calls
        return {"message": {"role": "assistant", "content": text} | more}

    def _line(self, said: dict[str, Any], *, done: bool) -> bytes:
        head = {"model": self._model, "created_at": iso(utc_now())}
        last = self._last() if done else {}
        return orjson.dumps(head | said | {"done": done} | last) + b"\n"

    def _last(self) -> dict[str, Any]:
        took_ns = round((time.monotonic() - self._began) * 1e9)
        reason = "length" if self._reason == "length" else "stop"
        counts = {"prompt_eval_count": self._usage.prompt_tokens, "eval_count": self._usage.completion_tokens}
        known = {name: value for name, value in counts.items() if value}
        return {"done_reason": reason, "total_duration": took_ns, "eval_duration": took_ns} | known


class LoadWriter(OllamaWriter):
    """Answers who only wants the model loaded: the one token that the engine says to it is not passed on."""

    def piece(self, delta: Delta) -> bytes:
        """Nothing."""
        return b""

    def end(self) -> bytes:
        """One line."""
        return self._line(self._said("", ""), done=True)

    def whole(self, answer: Whole) -> bytes:
        """The same."""
        return self.end().strip()

    def _last(self) -> dict[str, Any]:
        return {"done_reason": "load"}


def _one_token(model: str) -> Generation:
    """What makes an engine load a model when it knows no other way."""
    return Generation(model, [{"role": "user", "content": "Hello"}], {"max_tokens": 1}, wants_stream=True)


def _likelihoods(logprobs: Sequence[Any]) -> dict[str, Any]:
    """Beside the message; each token's are the same in both dialects."""
    return {"logprobs": list(logprobs)} if logprobs else {}


def _ping(said: dict[str, Any]) -> bytes:
    return orjson.dumps({"model": "", "created_at": iso(utc_now()), **said, "done": False}) + b"\n"


def _call(call: Mapping[str, str]) -> dict[str, Any]:
    """Ollama's arguments are an object."""
    try:
        arguments = orjson.loads(call["arguments"] or "{}")
    except orjson.JSONDecodeError:
        arguments = {"arguments": call["arguments"]}
    return {"id": call["id"], "function": {"name": call["name"], "arguments": arguments}}


def _sampling(body: Mapping[str, Any]) -> dict[str, Any]:
    """Ollama's parameters by OpenAI's names; what only Ollama has is left out."""
    said = body.get("options")
    options: dict[str, Any] = said if isinstance(said, dict) else {}
    made = {_TO_OPENAI.get(name, name): value for name, value in options.items() if name not in _ENGINES_OWN}
    made |= {name: body[name] for name in _KEPT if body.get(name) is not None}
    if body.get("format"):
        made["response_format"] = _format(body["format"])
    if isinstance(body.get("think"), str):
        made["reasoning_effort"] = body["think"]
    return made


def _format(wanted: Any) -> dict[str, Any]:
    if wanted == "json":
        return {"type": "json_object"}
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": wanted}}


def _message(written: Mapping[str, Any]) -> dict[str, Any]:
    """One message in OpenAI's shape."""
    made = {name: value for name, value in written.items() if name not in ("images", "thinking", "tool_name")}
    images = written.get("images")
    if images:
        parts = [{"type": "text", "text": written.get("content") or ""}]
        made["content"] = [*parts, *(_picture(image) for image in images)]
    if written.get("tool_calls"):
        made["tool_calls"] = [_written_call(place, one) for place, one in enumerate(written["tool_calls"])]
    return made


def _answered(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Results of tools with the id of the call they answer, which Ollama's clients leave out: it is by their order."""
    waiting: list[str] = []
    for message in messages:
        if message.get("tool_calls"):
            waiting = [str(call.get("id")) for call in message["tool_calls"] if isinstance(call, dict)]
        elif message["role"] == "tool" and not message.get("tool_call_id") and waiting:
            message["tool_call_id"] = waiting.pop(0)
    return messages


def _picture(image: Any) -> dict[str, Any]:
    data = str(image)
    url = data if data.startswith("data:") else f"data:image/png;base64,{data}"
    return {"type": "image_url", "image_url": {"url": url}}


def _written_call(place: int, call: Any) -> Any:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict):
        return call
    arguments = function.get("arguments")
    text = arguments if isinstance(arguments, str) else orjson.dumps(arguments or {}).decode()
    return {
        "id": call.get("id") or f"call_{place}",
        "type": "function",
        "function": {"name": function.get("name"), "arguments": text},
    }
