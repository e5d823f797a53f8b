"""An engine that is never the bottleneck: canned answers in both dialects, at once or paced, over many ports.

`python -m benchmarks.gateway.stub PORT:DIALECT …` listens until it is ended. Which answer comes is told by the
model's name: `instant` comes whole at once, `paced` as 100 chunks of 10 ms, `slow` as 10 chunks of 1 s. Those of
the engines that speak Ollama's dialect begin with `ollama-`, so that each is asked in its own.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import orjson
import uvloop

WORDS = [f"word{number} " for number in range(16)]
PACED_CHUNKS, PACED_S = 100, 0.01
SLOW_CHUNKS, SLOW_S = 10, 1.0
MODELS = ("instant", "paced", "slow")


@dataclass(frozen=True, slots=True)
class Stream:
    """A canned stream: its head with the first chunk, its middle ones, and its end."""

    chunks: Sequence[bytes]
    every_s: float = 0.0


def _openai_chunk(words: str, reason: str | None = None, **more: object) -> bytes:
    choice = {"index": 0, "delta": {"content": words} if words else {}, "finish_reason": reason}
    head = {"id": "chatcmpl-bench", "object": "chat.completion.chunk", "created": 1, "model": "instant"}
    return b"data: " + orjson.dumps({**head, "choices": [choice], **more}) + b"\n\n"


def _ollama_line(words: str, **more: object) -> bytes:
    head = {"model": "instant", "created_at": "2026-01-01T00:00:00Z"}
    message = {"role": "assistant", "content": words}
    return orjson.dumps({**head, "message": message, "done": bool(more), **more}) + b"\n"


def _openai_stream(texts: Sequence[str]) -> list[bytes]:
    usage = {"prompt_tokens": 8, "completion_tokens": len(texts), "total_tokens": 8 + len(texts)}
    end = _openai_chunk("", "stop", usage=usage) + b"data: [DONE]\n\n"
    return [*(_openai_chunk(text) for text in texts), end]


def _ollama_stream(texts: Sequence[str]) -> list[bytes]:
    return [
        *map(_ollama_line, texts),
        _ollama_line("", done_reason="stop", prompt_eval_count=8, eval_count=16),
    ]


def _framed(pieces: Sequence[bytes], content_type: str, every_s: float) -> Stream:
    """The pieces as HTTP chunks, the head before the first, the end behind the last; in one if nothing is paced."""
    chunks = [b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces]
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunks[0] = head.encode() + chunks[0]
    chunks[-1] += b"0\r\n\r\n"
    return Stream(chunks, every_s) if every_s else Stream([b"".join(chunks)])


def _plain(value: object, status: str = "200 OK") -> bytes:
    body = orjson.dumps(value)
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


_SHAPES = {
    "openai": (_openai_stream, "text/event-stream"),
    "ollama": (_ollama_stream, "application/x-ndjson"),
}
STREAMS = {
    (dialect, model): _framed(make(texts), kind, every_s)
    for dialect, (make, kind) in _SHAPES.items()
    for model, texts, every_s in (
        ("instant", WORDS, 0.0),
        ("paced", [WORDS[0]] * (PACED_CHUNKS - 1), PACED_S),
        ("slow", [WORDS[0]] * (SLOW_CHUNKS - 1), SLOW_S),
    )
}
_USAGE = {"prompt_tokens": 8, "completion_tokens": 16, "total_tokens": 24}
_MESSAGE = {"role": "assistant", "content": "".join(WORDS)}
WHOLE = {
    "openai": _plain(
        {
            "id": "chatcmpl-bench",
            "object": "chat.completion",
            "created": 1,
            "model": "instant",
            "choices": [{"index": 0, "message": _MESSAGE, "finish_reason": "stop"}],
            "usage": _USAGE,
        }
    ),
    "ollama": _plain(
        {
            "model": "instant",
            "created_at": "2026-01-01T00:00:00Z",
            "message": _MESSAGE,
            "done": True,
            "done_reason": "stop",
            "prompt_eval_count": 8,
            "eval_count": 16,
        }
    ),
}
_TAGS = _plain({"models": [{"name": f"ollama-{model}", "size": 1} for model in MODELS]})
LISTS = {
    ("openai", "/v1/models"): _plain({"data": [{"id": model, "object": "model"} for model in MODELS]}),
    ("ollama", "/api/version"): _plain({"version": "0.12.0"}),
    ("ollama", "/api/tags"): _TAGS,
    ("ollama", "/api/ps"): _TAGS,
}
MISSING = _plain({"error": "not found"}, "404 Not Found")


class Engine(asyncio.Protocol):
    """One connection of one client."""

    def __init__(self, dialect: str) -> None:
        self._dialect = dialect
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.WriteTransport | None = None
        self._buffer = b""
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        self._transport = cast(asyncio.WriteTransport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody reads any more."""
        self._transport = None
        if self._timer is not None:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        """Answer each request that is whole."""
        self._buffer = self._buffer + data if self._buffer else data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end]
            size = _length(head)
            if len(self._buffer) < end + 4 + size:
                return
            body = self._buffer[end + 4 : end + 4 + size]
            self._buffer = self._buffer[end + 4 + size :]
            self._answer(head, body)

    def _answer(self, head: bytes, body: bytes) -> None:
        if not head.startswith(b"POST"):
            path = head.split(b" ", 2)[1].decode()
            self._write(LISTS.get((self._dialect, path), MISSING))
        elif b'"stream":true' not in body and b'"stream": true' not in body:
            self._write(WHOLE[self._dialect])
        else:
            model = next((name for name in MODELS if name.encode() in body), "instant")
            self._stream(STREAMS[self._dialect, model], 0, self._loop.time())

    def _stream(self, stream: Stream, place: int, due: float) -> None:
        """One chunk, and the next when it is due; late ones do not push back those behind them."""
        if self._transport is None:
            return
        self._write(stream.chunks[place])
        if place + 1 < len(stream.chunks):
            due += stream.every_s
            self._timer = self._loop.call_at(due, self._stream, stream, place + 1, due)

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)


def _length(head: bytes) -> int:
    """The length that a request's head announces."""
    at = head.lower().find(b"content-length:")
    return int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0


async def serve(places: Sequence[tuple[int, str]]) -> None:
    """Listen at all of these ports, each in its dialect."""
    loop = asyncio.get_running_loop()
    for port, dialect in places:
        await loop.create_server(lambda dialect=dialect: Engine(dialect), "127.0.0.1", port, backlog=2048)  # type: ignore[misc]
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(
        serve([(int(port), dialect) for port, _, dialect in (word.partition(":") for word in sys.argv[1:])])
    )
