"""Clients of the gateway on bare sockets: they ask, read as they like, and leave when they like."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

CHAT, OLLAMA_CHAT = "/v1/chat/completions", "/api/chat"
PATHS = {"openai": CHAT, "ollama": OLLAMA_CHAT}


@dataclass
class Call:
    """One request that was sent, and its connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def head(self) -> tuple[int, dict[str, str]]:
        """Status and headers of the answer."""
        raw = await self.reader.readuntil(b"\r\n\r\n")
        first, *lines = raw.decode("latin-1").strip().split("\r\n")
        pairs = (line.split(": ", 1) for line in lines)
        return int(first.split()[1]), {name.lower(): value for name, value in pairs}

    async def chunks(self) -> AsyncIterator[bytes]:
        """What a stream carries, as it comes. Raises IncompleteReadError when it breaks off."""
        while size := int((await self.reader.readuntil(b"\r\n")).strip(), 16):
            yield await self.reader.readexactly(size)
            await self.reader.readexactly(2)
        await self.reader.readexactly(2)

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        """The whole answer."""
        status, headers = await self.head()
        if "content-length" in headers:
            return status, headers, await self.reader.readexactly(int(headers["content-length"]))
        return status, headers, b"".join([part async for part in self.chunks()])

    def leave(self) -> None:
        """Close the socket at once, whatever was still to come."""
        self.writer.transport.abort()


@dataclass(frozen=True)
class Door:
    """The gateway as clients see it: its port, and a key."""

    port: int
    key: str

    async def call(self, path: str, *, most: int = 64 * 1024, **body: Any) -> Call:
        """Send one request; `most` bounds what is read ahead of the caller's wishes."""
        raw = json.dumps(body).encode()
        return await self.send(self.head(path, len(raw)) + raw, most=most)

    async def chat(self, path: str, text: str = "hi", *, stream: bool = True, **more: Any) -> Call:
        """Send one conversation of one message."""
        messages = [{"role": "user", "content": text}]
        return await self.call(path, messages=messages, stream=stream, **more)

    async def send(self, data: bytes, *, most: int = 64 * 1024) -> Call:
        """Send bytes, whatever they are."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=most)
        writer.write(data)
        await writer.drain()
        return Call(reader, writer)

    def head(self, path: str, length: int, *more: str) -> bytes:
        """The head of a request with this key."""
        lines = [f"POST {path} HTTP/1.1", "Host: x", f"Authorization: Bearer {self.key}", *more]
        return "\r\n".join([*lines, f"Content-Length: {length}", "", ""]).encode()


async def until(condition: Callable[[], Any], what: str, timeout_s: float = 15.0) -> float:
    """Wait until a condition holds, in a thread since it may block; how many seconds that took."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    while loop.time() - began < timeout_s:
        with contextlib.suppress(OSError):
            if await asyncio.to_thread(condition):
                return loop.time() - began
        await asyncio.sleep(0.005)
    raise TimeoutError(f"waited {timeout_s} s for {what}")
