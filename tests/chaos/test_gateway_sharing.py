"""One engine's slots among web processes and drains: never too many at once, hardly ever too few, people first."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.chaos.callers import OLLAMA_CHAT, Door
from tests.chaos.served import Served
from tests.engines.simulated import SimulatedEngine

SLOTS = 4


@pytest.fixture
def served() -> Iterator[Served]:
    made = Served()
    try:
        yield made.start()
    finally:
        made.stop()


def upload(served: Served, count: int) -> str:
    """A job of so many items for the model `shared`."""
    return served.installation.upload([{"instruction": f"say {n}"} for n in range(count)], model="shared")


async def measured(engines: list[SimulatedEngine], seconds: float) -> float:
    """How many requests the engines had at once, on average over a time."""

    def busy() -> tuple[float, float]:
        return sum(engine.stats()["busy_seconds"] for engine in engines), time.monotonic()

    before, began = await asyncio.to_thread(busy)
    await asyncio.sleep(seconds)
    after, ended = await asyncio.to_thread(busy)
    return (after - before) / (ended - began)


async def test_two_web_processes_and_the_drains_fill_the_slots_and_never_overfill_them(
    served: Served, record_property: Callable[[str, Any], None]
) -> None:
    """The engine would take sixteen at once, so that its own count tells if more than four ever came.

    First the drains share with one client at each web process, then eight clients at each leave them nothing.
    Items and answers take half a second: what a change of hands costs weighs more here than with real ones.
    """
    engine = served.engine("shared", slots=SLOTS, latency_ms=500, echo=True, serves=16)
    doors = [served.door(), served.door(served.installation.port)]
    upload(served, 400)
    answered: Counter[int] = Counter()

    async def client(door: Door) -> None:
        while True:
            call = await door.chat(OLLAMA_CHAT, model="shared", stream=answered.total() % 2 == 0)
            try:
                status, _, body = await call.answer()
            finally:
                call.leave()
            assert status == 200, body
            answered[door.port] += 1

    served.installation.wait_for(lambda: served.installation.done() > 0, 30, "the first item")
    async with asyncio.TaskGroup() as group:
        clients = [group.create_task(client(door)) for door in doors]
        await asyncio.sleep(3)
        before = served.installation.done()
        shared = await measured([engine], 8)
        items = served.installation.done() - before
        few = dict(answered)
        clients += [group.create_task(client(door)) for door in doors for _ in range(7)]
        await asyncio.sleep(3)
        contended = await measured([engine], 8)
        # Before they leave: an engine may get the next request a moment before it sees that the last was cut.
        most = engine.stats()["in_flight_high_water"]
        for task in clients:
            task.cancel()
    record_property("in flight on average, with drains and without", f"{shared:.2f} {contended:.2f}")
    record_property(
        "most at once, and after all have left", f"{most} {engine.stats()['in_flight_high_water']}"
    )
    record_property("items, answers by web process", f"{items} {few} {dict(answered)}")
    assert items > 0
    assert all(few[door.port] > 0 for door in doors)
    assert most == SLOTS
    assert shared >= SLOTS * 0.95
    assert contended >= SLOTS * 0.95


ITEM_S = {"first": 0.9, "second": 1.1}
CHATS, EVERY_S = 5, 6.0
LOOKS_S = 0.25
"""What drain, row and pool take besides to see each other."""


async def test_a_chat_waits_for_one_item_at_most_and_the_job_hardly_notices(
    served: Served, record_property: Callable[[str, Any], None]
) -> None:
    """Ten chats a minute into a job that has every slot of two engines; each chat takes as long as an item.

    The chats' own time in the engines counts as lost for the job.
    """
    engines = [
        served.engine(name, model="shared", slots=SLOTS, latency_ms=round(seconds * 1000), echo=True)
        for name, seconds in ITEM_S.items()
    ]
    door = served.door()
    idle = max([await first_token(door) for _ in range(4)])
    upload(served, 600)
    served.installation.wait_for(lambda: served.installation.done() > 0, 30, "the first item")
    await asyncio.sleep(2)
    alone = await measured(engines, 8)
    waited: list[float] = []

    async def chats() -> None:
        for _ in range(CHATS):
            began = time.monotonic()
            waited.append(await first_token(door) - idle)
            await asyncio.sleep(began + EVERY_S - time.monotonic())

    chatting = asyncio.create_task(chats())
    together = await measured(engines, CHATS * EVERY_S)
    await chatting
    theirs = statistics.mean(ITEM_S.values()) / EVERY_S
    record_property("a chat waits s, median and most", f"{statistics.median(waited):.2f} {max(waited):.2f}")
    record_property("slots that the job has, alone and beside chats", f"{alone:.2f} {together - theirs:.2f}")
    assert statistics.median(waited) < max(ITEM_S.values())
    assert max(waited) < max(ITEM_S.values()) + LOOKS_S
    assert together - theirs > alone * 0.95


async def first_token(door: Door) -> float:
    """Seconds until a chat's first piece."""
    began = time.monotonic()
    call = await door.chat(OLLAMA_CHAT, model="shared")
    assert (await call.head())[0] == 200
    await anext(call.chunks())
    call.leave()
    return time.monotonic() - began
