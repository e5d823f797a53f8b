"""Talking to engines that speak OpenAI's chat completions: llama.cpp, vLLM, transformers serve. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from inference.dialects.base import Call, Generation, Reply
from inference.dialects.bodies import count, encode, one_line
from inference.dialects.faults import error_in_reply, error_of, read_error
from inference.dialects.openai_stream import OpenAICollector
from inference.errors import InferenceError, InvalidReply, StreamCut

CHAT = "/v1/chat/completions"
COMPLETIONS = "/v1/completions"
# Ollama's words that have one of OpenAI's; what else an engine knows is passed on as it stands.
_RENAMED = {"num_predict": "max_tokens"}
_OURS = frozenset({"model", "messages", "stream", "stream_options"})


class OpenAIDialect:
    """OpenAI's API. llama.cpp does not always notice a closed connection while it works on a plain answer.

    So engines of this kind are asked for a stream, which is collected into the completion.
    """

    kind = "openai"
    frees_slot_on_close = False

    def generation(self, request: Generation, *, chat_path_missing: bool = False) -> Call:
        """The HTTP request for one generation; there is no older path."""
        words = {"messages": request.messages} if request.prompt is None else {"prompt": request.prompt}
        body: dict[str, Any] = {"model": request.model, **words}
        body |= _parameters(request.sampling)
        body["stream"] = request.wants_stream
        if request.wants_stream:
            body["stream_options"] = {"include_usage": True}
        path = CHAT if request.prompt is None else COMPLETIONS
        return Call(path, encode(body), request.wants_stream)

    def reply(self, body: bytes) -> Reply:
        """A non-streaming answer; one that comes as events all the same is collected."""
        start = body.lstrip()[:5]
        if not start:
            raise StreamCut("The engine's answer is empty.")
        if start == b"data:":
            collector = self.collector(len(body))
            collector.feed(body)
            return collector.finish()
        return _plain_reply(body)

    def collector(self, max_bytes: int) -> OpenAICollector:
        """A collector for an event stream."""
        return OpenAICollector(max_bytes, whole=_reply, plain=_plain_reply)

    def error(self, status: int, body: bytes) -> InferenceError:
        """What an answer with a status other than 200 means."""
        return error_of(status, read_error(body))

    def lacks_chat(self, status: int, body: bytes, call: Call) -> bool:
        """Never: this dialect has one path for chat."""
        return False


def _parameters(sampling: Mapping[str, Any]) -> dict[str, Any]:
    return {
        _RENAMED.get(name, name): value
        for name, value in sampling.items()
        if value is not None and name not in _OURS
    }


def _plain_reply(body: bytes) -> Reply:
    try:
        said = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidReply(f"The engine's answer is not JSON: {error}.") from error
    if not isinstance(said, dict):
        raise InvalidReply("The engine's answer is not a JSON object.")
    return _reply(said, body)


def _reply(said: dict[str, Any], body: bytes | None = None) -> Reply:
    """A Reply from a completion; `body` is its own text, kept where it is one line."""
    if said.get("error"):
        raise error_in_reply(said["error"])
    text, finish_reason = _first_choice(said)
    usage = said.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    return Reply(
        text=text,
        json=one_line(said, body),
        finish_reason=finish_reason,
        prompt_tokens=count(usage.get("prompt_tokens")),
        completion_tokens=count(usage.get("completion_tokens")),
    )


def _first_choice(said: dict[str, Any]) -> tuple[str, str]:
    """The first choice's text and how it ended."""
    try:
        choice = said["choices"][0]
        text = choice["text"] if "text" in choice else choice["message"].get("content") or ""
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise InvalidReply("The engine's answer holds no choice with a message.") from error
    if not isinstance(text, str):
        raise InvalidReply("The engine's answer holds a message whose content is not text.")
    return text, str(choice.get("finish_reason") or "stop")
