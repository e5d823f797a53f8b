"""How llama.cpp's server writes its answers: completions, chunks, timings."""

from __future__ import annotations

import random
import time

from agent.simulator.connection import chunk
from agent.simulator.formats import plain_json
from agent.simulator.generation import Ask, Timing
from agent.wire import HEAD_END, status_line

FINGERPRINT = "b0-unknown"
JSON = "application/json; charset=utf-8"
_SERVER = "Server: llama.cpp\r\nAccess-Control-Allow-Origin: \r\n"
_STREAM_HEAD = (
    f"{status_line(200)}\r\n{_SERVER}X-Accel-Buffering: no\r\nContent-Type: text/event-stream\r\n"
    "Transfer-Encoding: chunked\r\nKeep-Alive: timeout=5, max=100"
).encode("latin-1") + HEAD_END


def answer(status: int, text: str, *, has_body: bool = True) -> bytes:
    """A whole answer; an error asks for the end of the connection, as llama.cpp's server does."""
    body = text.encode()
    keep = "Keep-Alive: timeout=5, max=100" if status < 400 else "Connection: close"
    head = (
        f"{status_line(status)}\r\n{_SERVER}Content-Type: {JSON}\r\nContent-Length: {len(body)}\r\n{keep}"
    ).encode("latin-1") + HEAD_END
    return head + body if has_body else head


class CompletionVoice:
    """Answers of /v1/chat/completions and /v1/completions."""

    def __init__(self, model: str, *, is_chat: bool, wants_usage: bool) -> None:
        self._is_chat = is_chat
        self._wants_usage = wants_usage
        kind = "chat.completion" if is_chat else "text_completion"
        prefix = "chatcmpl" if is_chat else "cmpl"
        self._id = f"{prefix}-{random.getrandbits(128):032x}"
        self._model = plain_json(model)
        self._created = int(time.time())
        self._kind = kind

    def opening(self) -> bytes:
        """The head, and for a chat the event that tells the role."""
        if not self._is_chat:
            return _STREAM_HEAD
        role = self._choice('"delta":{"role":"assistant","content":null}', "null")
        return _STREAM_HEAD + chunk(self._event(role))

    def thought(self, text: str) -> bytes:
        """One event of what a model thinks, as llama.cpp has it."""
        return self._event(self._choice(f'"delta":{{"reasoning_content":{plain_json(text)}}}', "null"))

    def token(self, text: str) -> bytes:
        """One event."""
        return self._event(self._choice(self._text(text), "null"))

    def closing(self, ask: Ask, timing: Timing) -> bytes:
        """The event with the reason, the usage where it was asked for, and the end."""
        last = self._choice('"delta":{}' if self._is_chat else self._text(""), f'"{ask.finish_reason}"')
        timings = f',"timings":{_timings(ask, timing)}'
        if not self._wants_usage:
            return self._event(last, timings) + b"data: [DONE]\n\n"
        usage = self._event("", f',"usage":{_usage(ask)}{timings}')
        return self._event(last) + usage + b"data: [DONE]\n\n"

    def silence(self) -> bytes:
        """Nothing."""
        return b""

    def whole(self, ask: Ask, timing: Timing) -> bytes:
        """One completion."""
        more = f',"usage":{_usage(ask)},"id":"{self._id}","timings":{_timings(ask, timing)}'
        return self._completion(ask, f'"{ask.finish_reason}"', more)

    def unfinished(self, ask: Ask) -> bytes:
        """A completion without a reason and a usage."""
        return self._completion(ask, "null", f',"id":"{self._id}"')

    def _completion(self, ask: Ask, finish: str, more: str) -> bytes:
        text = plain_json("".join(ask.pieces))
        content = f'"message":{{"role":"assistant","content":{text}}}'
        choice = self._choice(content if self._is_chat else f'"text":{text}', finish)
        return answer(
            200,
            f'{{"choices":[{choice}],"created":{self._created},"model":{self._model}'
            f',"system_fingerprint":"{FINGERPRINT}","object":"{self._kind}"{more}}}',
        )

    def _text(self, text: str) -> str:
        written = plain_json(text)
        return f'"delta":{{"content":{written}}}' if self._is_chat else f'"text":{written}'

    def _choice(self, content: str, finish: str) -> str:
        if self._is_chat:
            return f'{{"finish_reason":{finish},"index":0,{content}}}'
        return f'{{{content},"index":0,"logprobs":null,"finish_reason":{finish}}}'

    def _event(self, choice: str, more: str = "") -> bytes:
        kind = "chat.completion.chunk" if self._is_chat else self._kind
        return (
            f'data: {{"choices":[{choice}],"created":{self._created},"id":"{self._id}","model":{self._model}'
            f',"system_fingerprint":"{FINGERPRINT}","object":"{kind}"{more}}}\n\n'
        ).encode()


def _usage(ask: Ask) -> str:
    completion = len(ask.pieces)
    return (
        f'{{"completion_tokens":{completion},"prompt_tokens":{ask.prompt_tokens}'
        f',"total_tokens":{ask.prompt_tokens + completion},"prompt_tokens_details":{{"cached_tokens":0}}}}'
    )


def _timings(ask: Ask, timing: Timing) -> str:
    prompt_ms = 1000 * (timing.first_token - timing.loaded)
    predicted_ms = 1000 * (timing.ended - timing.first_token)
    read, made = ask.prompt_tokens, len(ask.pieces)
    return plain_json(
        {
            "cache_n": 0,
            "prompt_n": read,
            "prompt_ms": round(prompt_ms, 3),
            "prompt_per_token_ms": prompt_ms / max(1, read),
            "prompt_per_second": 1000 * read / max(0.001, prompt_ms),
            "predicted_n": made,
            "predicted_ms": round(predicted_ms, 3),
            "predicted_per_token_ms": predicted_ms / max(1, made),
            "predicted_per_second": 1000 * made / max(0.001, predicted_ms),
        }
    )
