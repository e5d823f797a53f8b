"""The simulator's HTTP/1.1 server: one client's connection, its requests in turn, and how their answers leave."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import struct
import time
from collections.abc import Awaitable, Callable
from typing import cast

from agent.wire import (
    HEAD_END,
    MAX_HEAD,
    Head,
    WireError,
    body_length,
    chunk_size,
    http_date,
    is_chunked,
    parse_head,
    status_line,
)

MAX_BODY = 64 * 1024 * 1024
# What may lie unread or unwritten before the other side has to wait.
BUFFER = 256 * 1024
# How the option is laid out in memory: on, and no seconds; Windows has shorter numbers there.
_LINGER_NOT = struct.pack("hh" if os.name == "nt" else "ii", 1, 0)
LAST_CHUNK = b"0\r\n\r\n"

log = logging.getLogger("agent.simulator")


class Exchange:
    """One request and the way its answer leaves."""

    __slots__ = ("_connection", "body", "head", "is_open")

    def __init__(self, connection: Connection, head: Head, body: bytes) -> None:
        self._connection = connection
        self.head = head
        self.body = body
        self.is_open = True

    def write(self, data: bytes) -> None:
        """Send bytes of the answer, whatever they are."""
        self._connection.transport.write(data)

    async def drain(self) -> None:
        """Wait until the client has taken what was sent, so that a slow one costs no memory.

        Others get their turn even when there is nothing to wait for: only then is a client's leaving seen.
        """
        if self._connection.writable is None:
            await asyncio.sleep(0)
        else:
            await self._connection.writable

    def reset(self) -> None:
        """End the connection as a crashed process would: with a reset instead of an end."""
        self.is_open = False
        connection = self._connection.transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
        self._connection.transport.abort()

    def close(self) -> None:
        """End the connection after what was sent has left."""
        self.is_open = False
        self._connection.transport.close()


Handler = Callable[[Exchange], Awaitable[None]]


class Connection(asyncio.Protocol):
    """Reads a client's requests one after the other and runs the handler for each as a task of its own.

    Guarantee: when the client goes away, the running handler is cancelled at once, wherever it waits.
    """

    def __init__(self, handler: Handler, connections: set[Connection]) -> None:
        self._handler = handler
        self._connections = connections
        self._buffer = bytearray()
        self._head: Head | None = None
        self._chunks: list[bytes] | None = None
        self._body_size = 0
        self._task: asyncio.Task[None] | None = None
        self.writable: asyncio.Future[None] | None = None
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is there."""
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(BUFFER)
        self._connections.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        """The client is gone, or was sent away: nobody waits for the answer any more."""
        self._connections.discard(self)
        if self._task is not None:
            self._task.cancel()
        self.resume_writing()

    def eof_received(self) -> bool:
        """A client that sends no more has left; what is still to be sent is not for anybody."""
        if self._task is not None:
            self.transport.abort()
        return False

    def pause_writing(self) -> None:
        """The client does not read as fast as it is written to."""
        self.writable = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        """There is room again."""
        waiting, self.writable = self.writable, None
        if waiting is not None and not waiting.done():
            waiting.set_result(None)

    def data_received(self, data: bytes) -> None:
        """Bytes of a request; those of the next one wait until this one is answered."""
        self._buffer += data
        if self._task is None:
            self._advance()
        elif len(self._buffer) > BUFFER:
            self.transport.pause_reading()

    def _advance(self) -> None:
        try:
            if self._head is None and not self._read_head():
                return
            body = self._read_body()
        except WireError as error:
            self._refuse(error)
            return
        if body is not None and self._head is not None:
            exchange = Exchange(self, self._head, body)
            self._head = None
            self._task = asyncio.get_running_loop().create_task(self._run(exchange))

    def _read_head(self) -> bool:
        end = self._buffer.find(HEAD_END)
        if end < 0:
            if len(self._buffer) > MAX_HEAD:
                raise WireError(431, "the request's headers are too long")
            return False
        head = parse_head(bytes(self._buffer[:end]))
        del self._buffer[: end + len(HEAD_END)]
        self._chunks = [] if is_chunked(head.headers) else None
        self._body_size = body_length(head.headers)
        if self._body_size > MAX_BODY:
            raise WireError(413, "the request's body is too long")
        if head.headers.get("expect", "").lower() == "100-continue":
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._head = head
        return True

    def _read_body(self) -> bytes | None:
        """The request's body, None while it is not all there."""
        if self._chunks is not None:
            return self._read_chunks(self._chunks)
        if len(self._buffer) < self._body_size:
            return None
        body = bytes(self._buffer[: self._body_size])
        del self._buffer[: self._body_size]
        return body

    def _read_chunks(self, chunks: list[bytes]) -> bytes | None:
        while (end := self._buffer.find(b"\r\n")) >= 0:
            size = chunk_size(bytes(self._buffer[:end]))
            if len(self._buffer) < end + 4 + size:
                return None
            chunks.append(bytes(self._buffer[end + 2 : end + 2 + size]))
            self._body_size += size
            del self._buffer[: end + 4 + size]
            if self._body_size > MAX_BODY:
                raise WireError(413, "the request's body is too long")
            if size == 0:
                return b"".join(chunks)
        return None

    def _refuse(self, error: WireError) -> None:
        text = str(error).encode()
        self.transport.write(whole(error.status, text, "text/plain; charset=utf-8", "Connection: close\r\n"))
        self.transport.close()

    async def _run(self, exchange: Exchange) -> None:
        try:
            await self._handler(exchange)
        except asyncio.CancelledError:
            return
        except Exception:
            log.exception("a request failed in the simulator itself")
            exchange.reset()
        self._task = None
        if exchange.is_open and not exchange.head.keeps_alive:
            exchange.close()
        if exchange.is_open:
            self.transport.resume_reading()
            self._advance()


class _Date:
    """The Date header's line, made anew each second only."""

    second = 0
    line = ""


def date_line() -> str:
    """The Date header for now, with its line's end."""
    now = int(time.time())
    if now != _Date.second:
        _Date.second, _Date.line = now, f"Date: {http_date(now)}\r\n"
    return _Date.line


def whole(status: int, body: bytes, content_type: str, more: str = "", *, has_body: bool = True) -> bytes:
    """A whole answer with its length; `more` holds further header lines, each with its end."""
    head = (
        f"{status_line(status)}\r\n{more}Content-Type: {content_type}\r\n{date_line()}"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode("latin-1")
    return head + body if has_body else head


def chunk(data: bytes) -> bytes:
    """Bytes as one chunk of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(data), data)
