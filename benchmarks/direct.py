"""The yardstick: a closed-loop client that asks engines directly, with as many requests at once as they have slots."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import aiohttp

Slots = tuple[str, int]
"""An engine's address and its slots."""


def own_rate(engine: Slots, seconds: float) -> float:
    """Items per second that one engine does when it is kept full, without anything between."""
    return asyncio.run(_own_rate(engine, seconds))


def equal_split(engines: Sequence[Slots], items: int) -> float:
    """Items per second when each engine gets an equal, contiguous share and the job ends with the slowest."""
    return asyncio.run(_equal_split(engines, items))


async def _own_rate(engine: Slots, seconds: float) -> float:
    url, slots = engine
    done = 0
    async with aiohttp.ClientSession() as session:
        started = time.monotonic()

        async def lane() -> None:
            nonlocal done
            while time.monotonic() - started < seconds:
                await _ask(session, url, done)
                done += 1

        await asyncio.gather(*(lane() for _ in range(slots)))
        return done / (time.monotonic() - started)


async def _equal_split(engines: Sequence[Slots], items: int) -> float:
    share = items // len(engines)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        started = time.monotonic()
        await asyncio.gather(*(_work(session, url, slots, share) for url, slots in engines))
        return share * len(engines) / (time.monotonic() - started)


async def _work(session: aiohttp.ClientSession, url: str, slots: int, share: int) -> None:
    left = iter(range(share))

    async def lane() -> None:
        for number in left:
            await _ask(session, url, number)

    await asyncio.gather(*(lane() for _ in range(slots)))


async def _ask(session: aiohttp.ClientSession, url: str, number: int) -> None:
    body = {"model": "m", "stream": False, "messages": [{"role": "user", "content": f"say {number}"}]}
    async with session.post(f"{url}/api/chat", json=body) as answer:
        answer.raise_for_status()
        await answer.read()
