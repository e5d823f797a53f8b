"""One exchange about text: the engine's answer passed on as it comes, put together, or translated.

Async. Where client and engine speak one dialect, bytes pass unread but for their end.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import TypeVar

from dpl_site.lib.http1 import Answer
from inference.dialects.base import Call
from inference.dialects.deltas import Delta, DeltaReader, Usage
from inference.dialects.hidden_usage import HiddenUsage
from inference.dialects.ollama_deltas import OllamaDeltas
from inference.dialects.openai_deltas import OpenAIDeltas
from inference.dialects.told import usage_in
from inference.errors import InferenceError, InvalidReply, ReplyTooLarge, StreamCut
from inference.exchange import HTML, Client, Exchange, Limits, Route
from inference.lines import WholeLines
from inference.surfaces.base import Answering, Asked, Surface

T = TypeVar("T")

PING_S = 10.0
STREAM_FACTOR = 16
"""How many bytes of a stream may come for each of an answer: every token has a record of its own around it."""
TAIL_BYTES = 2048
"""A stream's last bytes, by which its end is known."""
_USAGE = {"ollama": b'"eval_count"', "openai": b'"usage"'}
"""What the piece that tells a stream's tokens has in it."""
_READERS: dict[str, type[OllamaDeltas] | type[OpenAIDeltas]] = {
    "ollama": OllamaDeltas,
    "openai": OpenAIDeltas,
}


class TextExchange(Exchange):
    """A request for text."""

    def __init__(self, route: Route, surface: Surface, asked: Asked, client: Client, limits: Limits) -> None:
        super().__init__(route, asked, client, limits)
        self._surface = surface
        self._is_opened = False
        self._left = limits.max_reply_bytes * STREAM_FACTOR
        self.call = self._call()

    @property
    def _is_own(self) -> bool:
        return self._surface.dialect == self.route.target.kind

    def _call(self) -> Call:
        model, target = self._model, self.route.target
        if not self._is_own:
            generation = replace(
                self._surface.generation(self._asked, model), context=self.route.candidate.context
            )
            return self._dialect.generation(generation, chat_path_missing=target.chat_path_missing)
        # An engine that works on when a plain answer's client leaves is asked for a stream.
        wants_stream = self._asked.wants_stream or not self._dialect.frees_slot_on_close
        return self._surface.own_call(
            self._asked,
            model,
            wants_stream=wants_stream,
            context=self.route.candidate.context,
            counts=target.counts,
        )

    async def _answered(self, response: Answer, request_id: str) -> None:
        if not self._is_own:
            await self._translated(response, request_id)
        elif not self.call.is_streaming:
            body = await self.meanwhile(response.read_all(self._limits.max_reply_bytes))
            if not body.lstrip().startswith(b"{"):
                raise InvalidReply("The engine's answer is no JSON object.")
            self._whole.usage = usage_in(body)
            await self._say_whole(response.header(b"content-type"), body)
        elif not self._asked.wants_stream:
            await self._put_together(response)
        else:
            await self._streamed(response)

    async def meanwhile(self, work: Awaitable[T]) -> T:
        """Wait for the engine; a client that waits for a stream gets a sign of life every PING_S."""
        if not self._asked.wants_stream:
            return await work
        signs = _SignsOfLife(self._ping)
        try:
            return await work
        except asyncio.CancelledError:
            signs.cut()
            raise
        finally:
            await signs.stop()

    async def _read(self, response: Answer) -> bytes:
        """What has come of a stream; it has an end. Raises ReplyTooLarge."""
        data = await response.read()
        self._left -= len(data)
        if self._left < 0:
            most = self._limits.max_reply_bytes * STREAM_FACTOR
            raise ReplyTooLarge(f"The answer passed its limit: its stream is longer than {most} bytes.")
        return data

    async def _ping(self) -> None:
        await self._begin(None)
        await self._client.keep_waiting(self._surface.ping())

    async def _begin(self, route: Route | None) -> None:
        """The head of the stream, and what the surface says of the node that answers, each once."""
        await self._client.begin(self._surface.stream_type, route)
        if not self._is_opened:
            self._is_opened = True
            if opening := self._surface.opening(self._node()):
                await self._client.keep_waiting(opening)

    async def _say_whole(self, content_type: str, body: bytes) -> None:
        told = self._surface.named(body, self._node())
        await self._client.whole(200, content_type, told, self.route)

    def _node(self) -> Answering:
        target, candidate = self.route.target, self.route.candidate
        return Answering(target.node_id, self.route.node_name, candidate.why, candidate.model)

    async def _streamed(self, response: Answer) -> None:
        """Bytes as they come. The end is known by the last of them: one that is missing is a failure."""
        lines = WholeLines(self._limits.max_reply_bytes)
        data = await self.meanwhile(self._read(response))
        self._note_first()
        if data.lstrip().startswith(b"<"):
            raise InvalidReply(HTML)
        await self._begin(self.route)
        tail, hidden = b"", self._hidden_usage()
        while data:
            tail = data[-TAIL_BYTES:] if len(data) >= TAIL_BYTES else (tail + data)[-TAIL_BYTES:]
            whole = lines.take(data)
            if hidden is not None:
                whole = hidden.take(whole)
            if whole:
                await self._client.write(whole)
            data = await self._read(response)
        if not self._surface.ends(tail):
            raise StreamCut("The engine's answer broke off before its end.")
        if rest := lines.rest():
            await self._client.write(rest)
        self._note_usage(tail)
        await self._client.end()

    async def _put_together(self, response: Answer) -> None:
        """A stream of the engine as the one answer that the client wants."""
        collector = self._dialect.collector(self._limits.max_reply_bytes)
        while data := await self._read(response):
            collector.feed(data)
        reply = collector.finish()
        self._whole.usage = Usage(reply.prompt_tokens, reply.completion_tokens)
        await self._say_whole("application/json", reply.json.encode())

    async def _translated(self, response: Answer, request_id: str) -> None:
        reader = _READERS[self._dialect.kind](self._limits.max_reply_bytes)
        writer = self._surface.writer(self._asked, self._model, request_id)
        async for delta in self._deltas(response, reader):
            self._whole.usage = delta.usage or self._whole.usage
            if not self._asked.wants_stream:
                self._whole.add(delta)
            elif piece := writer.piece(delta):
                await self._begin(self.route)
                await self._client.write(piece)
        if not self._asked.wants_stream:
            body = writer.whole(self._whole)
            return await self._say_whole("application/json", body)
        await self._begin(self.route)
        await self._client.write(writer.end())
        return await self._client.end()

    async def _deltas(self, response: Answer, reader: DeltaReader) -> AsyncIterator[Delta]:
        data = await self.meanwhile(self._read(response))
        self._note_first()
        while data:
            for delta in reader.feed(data):
                yield delta
            data = await self._read(response)
        for delta in reader.finish():
            yield delta

    def _hidden_usage(self) -> HiddenUsage | None:
        """What takes out the event that only DPL asked for; None where nobody but the client did."""
        is_asked = self.route.target.counts and self._dialect.kind == "openai"
        return HiddenUsage() if is_asked and not self._asked.body.get("stream_options") else None

    def _note_usage(self, tail: bytes) -> None:
        """Tokens as the last piece that tells of them does, where one does."""
        told = tail.rfind(_USAGE[self._dialect.kind])
        if told < 0:
            return
        reader = _READERS[self._dialect.kind](TAIL_BYTES)
        with contextlib.suppress(InferenceError):
            for delta in reader.feed(tail[tail.rfind(b"\n", 0, told) + 1 :] + b"\n\n"):
                self._whole.usage = delta.usage or self._whole.usage


class _SignsOfLife:
    """Pings every PING_S until it is stopped. A ping on its way is waited for then: half a head would be none.

    Where nobody reads any more it is cut, since it might wait for ever.
    """

    def __init__(self, ping: Callable[[], Awaitable[None]]) -> None:
        self._ping, self._loop = ping, asyncio.get_running_loop()
        self._sending: asyncio.Task[None] | None = None
        self._next = self._loop.call_later(PING_S, self._begin)

    def cut(self) -> None:
        """The client has gone, or reads no more."""
        if self._sending is not None:
            self._sending.cancel()

    async def stop(self) -> None:
        """No more pings. Raises what the last one did."""
        self._next.cancel()
        if self._sending is not None:
            await self._sending
            self._next.cancel()

    def _begin(self) -> None:
        self._sending = self._loop.create_task(self._send())

    async def _send(self) -> None:
        await self._ping()
        self._next = self._loop.call_later(PING_S, self._begin)
