"""A real HTTP server whose every byte a test decides: cut streams, resets, silence, odd heads."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Exchange:
    """One request as it came in, and the ways to answer it."""

    path: str
    headers: dict[str, str]
    body: bytes
    connection: int
    _reader: asyncio.StreamReader = field(repr=False)
    _writer: asyncio.StreamWriter = field(repr=False)

    @property
    def method(self) -> str:
        return self.headers["method"]

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def json(self, value: Any, status: int = 200, **headers: str) -> None:
        """A whole JSON answer."""
        await self.whole(json.dumps(value).encode(), status, content_type="application/json", **headers)

    async def whole(
        self, body: bytes, status: int = 200, content_type: str = "text/plain", **headers: str
    ) -> None:
        lines = [f"HTTP/1.1 {status} X", f"Content-Type: {content_type}", f"Content-Length: {len(body)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        await self.send("\r\n".join(lines).encode() + b"\r\n\r\n" + body)

    async def begin(self, content_type: str = "text/event-stream") -> None:
        """The head of a chunked answer."""
        await self.send(
            f"HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
        )

    async def chunk(self, data: bytes) -> None:
        await self.send(b"%x\r\n%b\r\n" % (len(data), data))

    async def end(self) -> None:
        await self.send(b"0\r\n\r\n")

    def reset(self) -> None:
        """Break the connection hard, as a dying machine does."""
        raw: socket.socket = self._writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    def hang_up(self) -> None:
        """Close the connection properly, whatever was promised."""
        self._writer.close()

    async def left(self) -> None:
        """Wait until the client has closed the connection."""
        with suppress(ConnectionError):
            while await self._reader.read(4096):
                continue


@dataclass
class Scripted:
    """A running server and what it was asked."""

    port: int
    exchanges: list[Exchange] = field(default_factory=list)
    connections: int = 0
    listener: asyncio.Server | None = None

    def stop_listening(self) -> None:
        """Take no new connections."""
        if self.listener is not None:
            self.listener.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def paths(self) -> list[str]:
        return [exchange.path for exchange in self.exchanges]


@asynccontextmanager
async def scripted(answer: Callable[[Exchange], Awaitable[None]]) -> AsyncIterator[Scripted]:
    """Serve on a free port; `answer` is called for each request. Everything is closed at the end."""
    state = Scripted(0)
    tasks: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        state.connections += 1
        number = state.connections
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                while not writer.is_closing():
                    exchange = await _read(reader, writer, number)
                    state.exchanges.append(exchange)
                    await answer(exchange)
            writer.close()
        except asyncio.CancelledError:
            writer.transport.abort()
        finally:
            tasks.discard(task)

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    state.listener = server
    state.port = server.sockets[0].getsockname()[1]
    try:
        yield state
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()


async def _read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> Exchange:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, path, _ = head[0].split(" ")
    headers = {
        name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)
    }
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    if headers.get("transfer-encoding") == "chunked":
        body = await _chunks(reader)
    return Exchange(path, headers | {"method": method}, body, number, reader, writer)


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    parts = []
    while size := int((await reader.readline()).strip(), 16):
        parts.append(await reader.readexactly(size))
        await reader.readline()
    await reader.readline()
    return b"".join(parts)
