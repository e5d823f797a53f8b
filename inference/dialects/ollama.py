"""Talking to Ollama: /api/chat, or /api/generate where an engine lacks it. Pure."""

from __future__ import annotations

from typing import Any

import orjson

from dpl_site.lib.sse import Lines, LineTooLong
from inference.dialects import ollama_words
from inference.dialects.base import Call, Generation, Reply
from inference.dialects.bodies import count, encode, one_line
from inference.dialects.faults import error_in_reply, error_of, read_error
from inference.errors import (
    EngineRejectsUs,
    InferenceError,
    InvalidReply,
    ReplyTooLarge,
    RequestRefused,
    StreamCut,
)

CHAT = "/api/chat"
GENERATE = "/api/generate"
FORBIDDEN = (
    "Ollama refuses calls by this address (403); set OLLAMA_HOST=0.0.0.0 and OLLAMA_ORIGINS=* on its machine."
)
_NS_PER_MS = 1_000_000


class OllamaDialect:
    """Ollama's own API. It frees the slot when the connection closes, streaming or not, so it is asked plainly."""

    kind = "ollama"
    frees_slot_on_close = True

    def generation(self, request: Generation, *, chat_path_missing: bool = False) -> Call:
        """The HTTP request for one generation. Raises RequestRefused for what Ollama cannot take."""
        body = ollama_words.parameters(request.sampling)
        body |= {"model": request.model, "stream": request.wants_stream}
        body |= ollama_words.in_context(body, request.context)
        if request.prompt is not None:
            body["prompt"] = request.prompt
        elif chat_path_missing:
            if body.get("tools"):
                raise RequestRefused("This engine has no /api/chat, and /api/generate takes no tools.")
            body |= ollama_words.prompt(request.messages)
        else:
            body["messages"] = [ollama_words.message(written) for written in request.messages]
        path = CHAT if "messages" in body else GENERATE
        return Call(path, encode(body), request.wants_stream)

    def reply(self, body: bytes) -> Reply:
        """A non-streaming answer; one that comes in lines all the same is collected."""
        if not body.strip():
            raise StreamCut("The engine's answer is empty.")
        try:
            said = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            return _collected(body, error)
        return _reply(_as_object(said), body)

    def collector(self, max_bytes: int) -> OllamaCollector:
        """A collector for an answer in lines of JSON."""
        return OllamaCollector(max_bytes)

    def error(self, status: int, body: bytes) -> InferenceError:
        """What an answer with a status other than 200 means."""
        said = read_error(body)
        if status == 403 and not said.message:
            return EngineRejectsUs(FORBIDDEN)
        return error_of(status, said)

    def lacks_chat(self, status: int, body: bytes, call: Call) -> bool:
        """True for 404, 405 and 501 from /api/chat, unless the 404 is about the model."""
        if call.path != CHAT or status not in (404, 405, 501):
            return False
        return status != 404 or "model" not in read_error(body).message.lower()


class OllamaCollector:
    """Joins the chunks of one streamed answer: text, thinking, tool calls, log probabilities."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._lines = Lines(max_bytes)
        self._texts: dict[str, list[str]] = {"content": [], "thinking": [], "response": []}
        self._lists: dict[str, list[Any]] = {"tool_calls": [], "logprobs": []}
        self._size = 0
        self._last: dict[str, Any] = {}

    @property
    def is_done(self) -> bool:
        """Whether the chunk with `done: true` came."""
        return self._last.get("done") is True

    def feed(self, data: bytes) -> bool:
        """Take bytes as they arrive; True when they held a token or a part of a tool call."""
        try:
            lines = self._lines.feed(data)
        except LineTooLong as error:
            raise ReplyTooLarge(f"The answer passed its limit: {error}.") from error
        held = False
        for line in lines:
            held = self._take(line) or held
        return held

    def finish(self) -> Reply:
        """The whole answer in the non-streaming shape."""
        rest = self._lines.rest()
        if rest.strip() and not self.is_done:
            self._take_rest(rest)
        if not self.is_done:
            raise StreamCut("The engine's answer broke off before its end.")
        whole = dict(self._last)
        if self._texts["response"] or "response" in whole:
            whole["response"] = "".join(self._texts["response"])
            whole["thinking"] = "".join(self._texts["thinking"])
        else:
            whole["message"] = self._message(whole.get("message") or {})
        if self._lists["logprobs"]:
            whole["logprobs"] = self._lists["logprobs"]
        return _reply(whole, None)

    def _take_rest(self, rest: bytes) -> None:
        """A last line without its end: whole when it is JSON, cut when it is not."""
        try:
            orjson.loads(rest)
        except orjson.JSONDecodeError as error:
            raise StreamCut("The engine's answer broke off within a line.") from error
        self._take(rest)

    def _take(self, line: bytes) -> bool:
        if not line.strip():
            return False
        try:
            chunk = _as_object(orjson.loads(line))
        except orjson.JSONDecodeError as error:
            raise InvalidReply(f"The engine streamed a line that is not JSON: {error}.") from error
        if chunk.get("error"):
            raise error_in_reply(chunk["error"])
        self._last = chunk
        message = chunk.get("message")
        held = self._take_fields(chunk, len(line))
        if isinstance(message, dict):
            held = self._take_fields(message, len(line)) or held
        return held

    def _take_fields(self, source: dict[str, Any], line_bytes: int) -> bool:
        """Keep what the chunk or its message holds. Lists count with their whole line against the limit."""
        size = self._size
        for name, texts in self._texts.items():
            value = source.get(name)
            if value and isinstance(value, str):
                texts.append(value)
                self._size += len(value)
        for name, values in self._lists.items():
            value = source.get(name)
            if value and isinstance(value, list):
                values.extend(value)
                self._size += line_bytes
        if self._size > self._max_bytes:
            raise ReplyTooLarge(f"The answer is larger than {self._max_bytes} bytes.")
        return self._size > size

    def _message(self, last: dict[str, Any]) -> dict[str, Any]:
        whole = {"role": "assistant", **last, "content": "".join(self._texts["content"])}
        if self._texts["thinking"]:
            whole["thinking"] = "".join(self._texts["thinking"])
        if self._lists["tool_calls"]:
            whole["tool_calls"] = self._lists["tool_calls"]
        return whole


def _collected(body: bytes, error: orjson.JSONDecodeError) -> Reply:
    """Lines of JSON, from an engine that streams although it was asked not to."""
    if b"\n" not in body.strip() or not body.lstrip().startswith(b"{"):
        raise InvalidReply(f"The engine's answer is not JSON: {error}.") from error
    collector = OllamaCollector(len(body))
    collector.feed(body)
    return collector.finish()


def _as_object(said: Any) -> dict[str, Any]:
    if not isinstance(said, dict):
        raise InvalidReply("The engine's answer is not a JSON object.")
    return said


def _reply(said: dict[str, Any], body: bytes | None) -> Reply:
    """A Reply from the object; `body` is its own text, kept where nothing had to be changed."""
    if said.get("error"):
        raise error_in_reply(said["error"])
    if said.get("done") is not True:
        raise StreamCut("The engine ended its answer without being done.")
    if "message" not in said:
        said, body = _from_generate(said), None
    message = said["message"]
    text = (message.get("content") or "") if isinstance(message, dict) else None
    if not isinstance(text, str):
        raise InvalidReply("The engine's answer holds no message.")
    return Reply(
        text=text,
        json=one_line(said, body),
        finish_reason="tool_calls" if message.get("tool_calls") else str(said.get("done_reason") or "stop"),
        prompt_tokens=count(said.get("prompt_eval_count")),
        completion_tokens=count(said.get("eval_count")),
        ttft_ms=_ttft_ms(said),
    )


def _from_generate(said: dict[str, Any]) -> dict[str, Any]:
    """The reply of /api/generate in the shape of /api/chat's; its `context` is left out."""
    if not isinstance(said.get("response"), str):
        raise InvalidReply("The engine's answer holds neither a message nor a response.")
    message = {"role": "assistant", "content": said["response"]}
    if said.get("thinking"):
        message["thinking"] = said["thinking"]
    made: dict[str, Any] = {}
    for name, value in said.items():
        if name == "response":
            made["message"] = message
        elif name not in ("context", "thinking"):
            made[name] = value
    return made


def _ttft_ms(said: dict[str, Any]) -> int | None:
    """Loading and reading the prompt, by the engine's own clock (nanoseconds); None where it says neither."""
    spent = [count(said.get(name)) for name in ("load_duration", "prompt_eval_duration")]
    known = [value for value in spent if value is not None]
    return round(sum(known) / _NS_PER_MS) if known else None
