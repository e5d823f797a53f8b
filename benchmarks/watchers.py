"""Many watching sockets in one light process: they read all that comes and count it; one of them looks inside.

`python -m benchmarks.watchers URL KEY --count 200` prints `ready` when all have had their snapshot; at each line on
its input it prints what came since the last one, as JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import os
import sys
from datetime import UTC, datetime
from typing import Any, cast
from urllib.parse import urlsplit

import aiohttp

PATIENCE_S = 60.0
PING, PONG = 0x9, 0xA


class Watcher(asyncio.Protocol):
    """One socket that answers pings and throws away what else comes."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self._transport: asyncio.Transport | None = None
        self._head = bytearray()
        self._skip = 0
        self._is_upgraded = False
        self.bytes = 0
        self.is_open = False
        self.has_begun = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.is_open = True
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self.bytes += len(data)
        skipped = min(self._skip, len(data))
        self._skip -= skipped
        if skipped < len(data):
            self._head += data[skipped:]
            while self._take():
                continue

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_open = False

    def _take(self) -> bool:
        """Pass over one answer to the request, or one frame; whether there may be another."""
        head = self._head
        if not self._is_upgraded:
            _, found, rest = head.partition(b"\r\n\r\n")
            self._is_upgraded = bool(found)
            self._head = rest if found else head
            return self._is_upgraded
        length = head[1] if len(head) > 1 else 0
        size = 2 + {126: 2, 127: 8}.get(length, 0)
        if len(head) < size or (head[0] & 0xF == PING and len(head) < size + length):
            return False
        if head[0] & 0xF == PING and self._transport is not None:
            # With a mask of zeros, which leaves the payload as it is.
            self._transport.write(bytes((0x80 | PONG, 0x80 | length, 0, 0, 0, 0)) + head[2 : 2 + length])
        else:
            self.has_begun.set()
        payload = int.from_bytes(head[2:size]) if size > 2 else length
        self._skip = max(0, size + payload - len(head))
        del head[: size + payload]
        return bool(head)


class Looker:
    """One socket that reads what it gets: how old the readings are when they come, in seconds."""

    def __init__(self) -> None:
        self.ages_s: list[float] = []
        self.messages = 0

    async def run(self, url: str, key: str) -> None:
        """Read until the socket ends."""
        headers = {"Authorization": f"Bearer {key}"}
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(url, headers=headers, max_msg_size=0) as socket,
        ):
            async for message in socket:
                self._look(json.loads(message.data))

    def _look(self, told: dict[str, Any]) -> None:
        self.messages += 1
        now = datetime.now(UTC)
        if told["type"] == "update":
            for node in told["nodes"]:
                if node["sampled_at"]:
                    self.ages_s.append((now - datetime.fromisoformat(node["sampled_at"])).total_seconds())


async def watch(url: str, key: str, count: int) -> None:
    """Open the sockets, then answer each line on the input."""
    loop = asyncio.get_running_loop()
    parts = urlsplit(url)
    request = _request(parts.netloc, key)
    watchers = [Watcher(request) for _ in range(count)]
    for watcher in watchers:
        await loop.create_connection(lambda one=watcher: one, parts.hostname or "", parts.port or 80)  # type: ignore[misc]  # mypy cannot infer a lambda with a default
    looker = Looker()
    looking = loop.create_task(looker.run(f"{url}/ws/cluster/", key))
    async with asyncio.timeout(PATIENCE_S):
        await asyncio.gather(*(watcher.has_begun.wait() for watcher in watchers))
    print("ready", flush=True)
    while await loop.run_in_executor(None, sys.stdin.readline):
        ages = sorted(looker.ages_s)
        told = {
            "open": sum(watcher.is_open for watcher in watchers),
            "bytes": sum(watcher.bytes for watcher in watchers),
            "messages": looker.messages,
            "oldest_s": ages[-1] if ages else None,
            "p50_s": ages[len(ages) // 2] if ages else None,
        }
        looker.ages_s, looker.messages = [], 0
        print(json.dumps(told), flush=True)
    looking.cancel()


def _request(host: str, key: str) -> bytes:
    lines = [
        "GET /ws/cluster/ HTTP/1.1",
        f"Host: {host}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}",
        "Sec-WebSocket-Version: 13",
        f"Authorization: Bearer {key}",
    ]
    return "\r\n".join([*lines, "", ""]).encode()


def main() -> None:
    """Parse the flags and watch."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.watchers", description=__doc__)
    parser.add_argument("url")
    parser.add_argument("key")
    parser.add_argument("--count", type=int, default=200)
    given = parser.parse_args()
    asyncio.run(watch(given.url, given.key, given.count))


if __name__ == "__main__":
    main()
