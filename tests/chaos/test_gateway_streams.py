"""A thousand streams at once through one web process, and very many one after the other: none cut, none kept."""

from __future__ import annotations

import asyncio
import resource
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.chaos.callers import PATHS, until
from tests.chaos.served import Served

AT_ONCE, WORDS = 1_000, 30
MANY, CLIENTS, FLAT_BYTES = 20_000, 64, 12 * 1024 * 1024


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(8192, hard), hard))
    made = Served(DPL_QUEUE_MOST=2_000)
    try:
        yield made.start()
    finally:
        made.stop()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_a_thousand_streams_are_open_at_once_and_none_is_cut(
    served: Served, record_property: Callable[[str, Any], None]
) -> None:
    """Two pieces a second each, so that all of them are open when the last one begins."""
    engine = served.engine("many", slots=AT_ONCE, dialect="openai", tokens_per_second=2, words=WORDS)
    door, told = served.door(), Counter[str]()

    async def one(number: int) -> None:
        await asyncio.sleep(number * 0.004)
        path = list(PATHS.values())[number % 2]
        call = await door.chat(path, model="many")
        try:
            status, _, body = await call.answer()
            is_whole = (b"[DONE]" in body or b'"done":true' in body) and b"error" not in body
            told[f"{status} whole" if is_whole else f"{status} {body[-200:]!r}"] += 1
        except (OSError, EOFError) as error:
            told[repr(error)] += 1
        finally:
            call.leave()

    streams = asyncio.gather(*(one(number) for number in range(AT_ONCE)))
    await until(lambda: engine.stats()["in_flight"] == AT_ONCE, "all streams at once", 30)
    held = await asyncio.to_thread(served.held)
    await streams
    record_property("MB with a thousand open streams", held["rss"] >> 20)
    assert told == {"200 whole": AT_ONCE}


async def test_memory_is_flat_over_many_streams(
    served: Served, record_property: Callable[[str, Any], None]
) -> None:
    served.engine("short", slots=CLIENTS, dialect="openai", words=10)
    door = served.door()

    async def streams(count: int) -> None:
        left = iter(range(count))

        async def client() -> None:
            for number in left:
                call = await door.chat(list(PATHS.values())[number % 8 == 0], model="short")
                status, _, body = await call.answer()
                call.leave()
                assert (status, b"error" in body) == (200, False), body

        async with asyncio.TaskGroup() as group:
            for _ in range(CLIENTS):
                group.create_task(client())

    await streams(MANY // 5)
    before = served.held()["rss"]
    began = time.monotonic()
    await streams(MANY)
    record_property("streams a second", round(MANY / (time.monotonic() - began)))
    after = served.held()["rss"]
    record_property("MB before and after", f"{before >> 20} {after >> 20}")
    assert after - before < FLAT_BYTES
