"""What a server says to one HTTP/1.1 call, read as it comes, and how a call can fail. Async."""

from __future__ import annotations

import asyncio
from typing import Protocol

from dpl_site.lib.http import TooLarge

MOST_UNREAD = 256 * 1024
"""Bytes of an answer that wait to be read; beyond them the server is not read from until they have been."""


class CallFailed(Exception):
    """A call did not come to its end. `message` says why, in words for people, to go on after a name or a colon."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class CannotConnect(CallFailed):
    """No connection could be made: the server has not seen the call."""


class Disconnected(CallFailed):
    """The connection was closed before an answer began. `was_kept`: an earlier call had used it."""

    def __init__(self, message: str, *, was_kept: bool) -> None:
        super().__init__(message)
        self.was_kept = was_kept


class Broken(CallFailed):
    """The connection was closed in the middle of the answer."""


class NotHttp(CallFailed):
    """What came is no answer that can be read."""


class Silent(CallFailed):
    """Nothing came for too long."""


class Source(Protocol):
    """The connection that an answer comes over."""

    def expect(self) -> asyncio.Future[None]:
        """What is done when anything came, or nothing did for too long."""

    def resume(self) -> None:
        """The reader has caught up."""

    def abandon(self, answer: Answer) -> None:
        """The reader has left."""


class Answer:
    """What a server says to one call: the head, then the body as it comes.

    Whoever has it closes it. Closing one that was read to its end changes nothing; any other loses its connection,
    so that the server works on nothing that nobody waits for.
    """

    __slots__ = ("_connection", "_error", "_headers", "_is_whole", "_unread", "_waiter", "chunks", "status")

    def __init__(self, connection: Source) -> None:
        self.status = 0
        self._connection = connection
        self._headers: dict[bytes, bytes] = {}
        self.chunks: list[bytes] = []
        """Parts of the body that were not read yet."""
        self._unread = 0
        self._is_whole = False
        self._error: CallFailed | None = None
        self._waiter: asyncio.Future[None] | None = None

    def header(self, name: bytes, default: str = "") -> str:
        """The value of a header, by its name in lower case."""
        value = self._headers.get(name)
        return default if value is None else value.decode("latin-1")

    @property
    def announced(self) -> int:
        """How many bytes the body is to have; 0 when that is not told."""
        length = self._headers.get(b"content-length", b"")
        return int(length) if length.isdigit() else 0

    async def begin(self) -> None:
        """Wait for the head. Raises CallFailed."""
        while not self.status and self._error is None:
            await self._more()
        if not self.status and self._error is not None:
            raise self._error

    async def read(self) -> bytes:
        """What has come, at least a byte; empty at the end. Raises CallFailed."""
        while not self.chunks:
            if self._is_whole:
                return b""
            if self._error is not None:
                raise self._error
            await self._more()
        chunks = self.chunks
        data = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        self.chunks = []
        if self._unread > MOST_UNREAD:
            self._connection.resume()
        self._unread = 0
        return data

    async def read_all(self, max_bytes: int) -> bytes:
        """The whole body. Raises TooLarge (before reading, where the length is told) and CallFailed."""
        if self.announced > max_bytes:
            raise TooLarge(max_bytes)
        data = await self.read()
        if self._is_whole and not self.chunks and len(data) <= max_bytes:
            return data
        parts, size = [data], len(data)
        while data:
            if size > max_bytes:
                raise TooLarge(max_bytes)
            data = await self.read()
            parts.append(data)
            size += len(data)
        return b"".join(parts)

    def close(self) -> None:
        """Nobody reads on."""
        if not self._is_whole:
            self._connection.abandon(self)

    # --- From the connection ------------------------------------------------------------------------------

    def came(self, name: bytes, value: bytes) -> None:
        """A header came."""
        self._headers[name.lower()] = value

    def forget_head(self) -> None:
        """What came was only a sign that the real head will."""
        self._headers = {}

    def took(self, size: int) -> bool:
        """So many bytes came; whether too much lies unread."""
        self._unread += size
        return self._unread > MOST_UNREAD

    def ended(self, error: CallFailed | None) -> None:
        """The answer is whole, or never will be."""
        self._is_whole, self._error = error is None, error

    def wake(self) -> None:
        """Let who waits look again."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _more(self) -> None:
        self._waiter = self._connection.expect()
        try:
            await self._waiter
        finally:
            self._waiter = None
