"""One exchange with one engine: its answer passed on as it comes, put together, or translated.

Async. Where client and engine speak one dialect, bytes pass unread but for their end.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass
from typing import Protocol, TypeVar

import aiohttp

from dpl_site.lib import http
from inference.dialects import DIALECTS
from inference.dialects.base import Call, Reply
from inference.dialects.deltas import Delta, DeltaReader, Usage, Whole
from inference.dialects.embedding import embedding_call, read_vectors
from inference.dialects.ollama_deltas import OllamaDeltas
from inference.dialects.openai_deltas import OpenAIDeltas
from inference.errors import InferenceError, NodeFault, NotSupported, StreamCut
from inference.scheduling import Candidate
from inference.slots import Held
from inference.surfaces.base import Asked, Surface, VectorSurface
from inference.surfaces.embeddings import told_tokens
from inference.upstream import Target

T = TypeVar("T")

PING_S = 10.0
TAIL_BYTES = 2048
"""A stream's last bytes, by which its end is known."""
MAX_ERROR_BYTES = 64 * 1024
_READERS: dict[str, type[OllamaDeltas] | type[OpenAIDeltas]] = {
    "ollama": OllamaDeltas,
    "openai": OpenAIDeltas,
}


class Client(Protocol):
    """The client of one request, as a door gives it."""

    has_begun: bool
    """Whether the head of an answer went to it."""
    has_content: bool
    """Whether a part of an answer went to it, so that no other engine may answer any more."""

    async def begin(self, content_type: str, route: Route | None) -> None:
        """Send the head of a streamed answer, once."""

    async def write(self, data: bytes) -> None:
        """Send a part of the answer."""

    async def keep_waiting(self, data: bytes) -> None:
        """Send something that is no part of the answer."""

    async def end(self) -> None:
        """The answer is whole."""

    async def whole(self, status: int, content_type: str, body: bytes, route: Route | None) -> None:
        """Send an answer that is no stream."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one exchange, in seconds and bytes."""

    connect_s: float
    silence_s: float
    wait_s: float
    max_reply_bytes: int


@dataclass(frozen=True, slots=True)
class Route:
    """Where a request went: the engine's address, its slot, its name of the model, and why."""

    target: Target
    held: Held
    candidate: Candidate
    node_name: str
    was_on_trial: bool = False


class Exchange(ABC):
    """One request with one engine: what is asked of it, and what it answers to the client."""

    call: Call

    def __init__(self, route: Route, asked: Asked, client: Client, limits: Limits) -> None:
        self.route = route
        self._asked, self._client, self._limits = asked, client, limits
        self._dialect = DIALECTS[route.target.kind]
        self._began = time.monotonic()
        self._ttft_ms: int | None = None
        self._whole = Whole()

    @property
    @abstractmethod
    def _is_own(self) -> bool:
        """Whether client and engine speak one dialect."""

    @abstractmethod
    async def _answered(self, response: aiohttp.ClientResponse, request_id: str) -> None:
        """The engine's yes to the client."""

    async def pass_on(self, response: aiohttp.ClientResponse, request_id: str) -> None:
        """The engine's answer to the client."""
        if response.status != 200:
            await self._refused(response)
        else:
            await self._answered(response, request_id)

    async def meanwhile(self, work: Awaitable[T]) -> T:
        """Wait for the engine."""
        return await work

    def report(self) -> Reply:
        """How long it took and how many tokens it were."""
        usage = self._whole.usage
        return Reply(
            text="",
            json="",
            finish_reason=self._whole.finish_reason,
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
            ttft_ms=self._ttft_ms,
            duration_ms=round((time.monotonic() - self._began) * 1000),
        )

    async def _refused(self, response: aiohttp.ClientResponse) -> None:
        """The engine's no. What is the client's own fault is passed on as it was said."""
        body = await http.read_body(response, MAX_ERROR_BYTES)
        error = self._dialect.error(response.status, body)
        if isinstance(error, NodeFault | NotSupported) or not self._is_own or self._client.has_begun:
            raise error
        kind = response.headers.get("Content-Type", "application/json")
        await self._client.whole(response.status, kind, body, self.route)

    def _note_first(self) -> None:
        self._ttft_ms = round((time.monotonic() - self._began) * 1000)


class VectorExchange(Exchange):
    """A request for vectors. They are passed on unread where both sides speak one dialect."""

    def __init__(
        self, route: Route, surface: VectorSurface, asked: Asked, client: Client, limits: Limits
    ) -> None:
        super().__init__(route, asked, client, limits)
        self._surface = surface
        self._request = None if self._is_own else surface.request(asked, route.candidate.model)
        if self._request is None:
            self.call = surface.own_call(asked, route.candidate.model)
        else:
            self.call = embedding_call(route.target.kind, self._request)

    @property
    def _is_own(self) -> bool:
        return self._surface.dialect == self.route.target.kind

    async def _answered(self, response: aiohttp.ClientResponse, request_id: str) -> None:
        body = await http.read_body(response, self._limits.max_reply_bytes)
        tokens = told_tokens(body)
        kind = "application/json"
        if self._request is None:
            kind = response.headers.get("Content-Type", kind)
        else:
            vectors = read_vectors(self.route.target.kind, body, len(self._request.texts))
            tokens = vectors.prompt_tokens
            body = self._surface.answer(self._asked, self.route.candidate.model, vectors)
        self._whole.usage = Usage(tokens, 0)
        await self._client.whole(200, kind, body, self.route)


class TextExchange(Exchange):
    """A request for text."""

    def __init__(self, route: Route, surface: Surface, asked: Asked, client: Client, limits: Limits) -> None:
        super().__init__(route, asked, client, limits)
        self._surface = surface
        self.call = self._call()

    @property
    def _is_own(self) -> bool:
        return self._surface.dialect == self.route.target.kind

    def _call(self) -> Call:
        model, target = self.route.candidate.model, self.route.target
        if not self._is_own:
            generation = self._surface.generation(self._asked, model)
            return self._dialect.generation(generation, chat_path_missing=target.chat_path_missing)
        # An engine that works on when a plain answer's client leaves is asked for a stream.
        wants_stream = self._asked.wants_stream or not self._dialect.frees_slot_on_close
        return self._surface.own_call(self._asked, model, wants_stream=wants_stream)

    async def _answered(self, response: aiohttp.ClientResponse, request_id: str) -> None:
        if not self._is_own:
            await self._translated(response, request_id)
        elif not self.call.is_streaming:
            body = await self.meanwhile(http.read_body(response, self._limits.max_reply_bytes))
            await self._client.whole(200, response.headers.get("Content-Type", ""), body, self.route)
        elif not self._asked.wants_stream:
            await self._put_together(response)
        else:
            await self._streamed(response)

    async def meanwhile(self, work: Awaitable[T]) -> T:
        """Wait for the engine; a client that waits for a stream gets a sign of life every PING_S."""
        if not self._asked.wants_stream:
            return await work
        task = asyncio.ensure_future(work)
        try:
            while not (await asyncio.wait({task}, timeout=PING_S))[0]:
                await self._client.begin(self._surface.stream_type, None)
                await self._client.keep_waiting(self._surface.ping())
            return task.result()
        finally:
            task.cancel()

    async def _streamed(self, response: aiohttp.ClientResponse) -> None:
        """Bytes as they come. The end is known by the last of them: one that is missing is a failure."""
        content = response.content
        data = await self.meanwhile(content.readany())
        self._note_first()
        await self._client.begin(self._surface.stream_type, self.route)
        tail = b""
        while data:
            await self._client.write(data)
            tail = data[-TAIL_BYTES:] if len(data) >= TAIL_BYTES else (tail + data)[-TAIL_BYTES:]
            data = await content.readany()
        if not self._surface.ends(tail):
            raise StreamCut("The engine's answer broke off before its end.")
        self._note_usage(tail)
        await self._client.end()

    async def _put_together(self, response: aiohttp.ClientResponse) -> None:
        """A stream of the engine as the one answer that the client wants."""
        collector = self._dialect.collector(self._limits.max_reply_bytes)
        while data := await response.content.readany():
            collector.feed(data)
        reply = collector.finish()
        self._whole.usage = Usage(reply.prompt_tokens, reply.completion_tokens)
        await self._client.whole(200, "application/json", reply.json.encode(), self.route)

    async def _translated(self, response: aiohttp.ClientResponse, request_id: str) -> None:
        reader = _READERS[self._dialect.kind](self._limits.max_reply_bytes)
        writer = self._surface.writer(self._asked, self.route.candidate.model, request_id)
        async for delta in self._deltas(response, reader):
            self._whole.usage = delta.usage or self._whole.usage
            if not self._asked.wants_stream:
                self._whole.add(delta)
            elif piece := writer.piece(delta):
                await self._client.begin(self._surface.stream_type, self.route)
                await self._client.write(piece)
        if not self._asked.wants_stream:
            body = writer.whole(self._whole)
            return await self._client.whole(200, "application/json", body, self.route)
        await self._client.begin(self._surface.stream_type, self.route)
        await self._client.write(writer.end())
        return await self._client.end()

    async def _deltas(self, response: aiohttp.ClientResponse, reader: DeltaReader) -> AsyncIterator[Delta]:
        data = await self.meanwhile(response.content.readany())
        self._note_first()
        while data:
            for delta in reader.feed(data):
                yield delta
            data = await response.content.readany()
        for delta in reader.finish():
            yield delta

    def _note_usage(self, tail: bytes) -> None:
        """Tokens as the stream's last pieces tell them, where they do."""
        reader = _READERS[self._dialect.kind](TAIL_BYTES)
        start = tail.find(b"\n") + 1
        with contextlib.suppress(InferenceError):
            for delta in reader.feed(tail[start:] + b"\n\n"):
                self._whole.usage = delta.usage or self._whole.usage


def exchange_of(
    route: Route, surface: Surface | VectorSurface, asked: Asked, client: Client, limits: Limits
) -> Exchange:
    """The exchange that this surface needs. Raises RequestRefused for what the engine's dialect cannot say."""
    if surface.embeds:
        return VectorExchange(route, surface, asked, client, limits)
    return TextExchange(route, surface, asked, client, limits)
