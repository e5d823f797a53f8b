"""Clients that leave, at every moment and by the thousand: their engine is free at once, and nothing is left over."""

from __future__ import annotations

import asyncio
import contextlib
import random
import sqlite3
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.chaos.callers import PATHS, Call, Door, until
from tests.chaos.served import Served
from tests.engines.simulated import SimulatedEngine

AT_ONCE_S = 0.5
SAMPLES = 4
NEVER_MS = 600_000
FLAT_BYTES = 12 * 1024 * 1024
SPARE_THREADS, FILES_OF_A_CONNECTION = 4, 3
"""The pool for the database may start the rest of its threads late; SQLite has three files for each."""
PASSING = {"roster", "slots"}
"""Tasks that end by themselves a moment after the last request."""


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    made = Served()
    try:
        yield made.start()
    finally:
        made.stop()


@pytest.fixture(scope="module")
def engines(served: Served) -> dict[tuple[str, str], SimulatedEngine]:
    """By kind and behaviour: each takes one request, and refuses a second that comes before the first has gone."""
    behaviours: dict[str, dict[str, Any]] = {
        "mute": {"latency_ms": NEVER_MS},
        "slow": {"tokens_per_second": 5, "words": 5000},
        "flood": {"words": 600_000},
    }
    return {
        (kind, name): served.engine(f"{name}-{kind}", dialect=kind, max_queue=0, **flags)
        for kind in PATHS
        for name, flags in behaviours.items()
    }


async def counted(engine: SimulatedEngine, what: str, number: int) -> float:
    """Wait until an engine has counted so many requests as started or cancelled; how many seconds that took."""
    return await until(lambda: engine.stats()[what] == number, f"{number} {what}")


# --- The moments ------------------------------------------------------------------------------------------


async def begun(call: Call) -> None:
    """A part of the answer has come."""
    assert (await call.head())[0] == 200
    await anext(call.chunks())


async def unread(call: Call) -> None:
    """The client has stopped reading, and what is on its way to it is at a stand."""
    assert (await call.head())[0] == 200
    await asyncio.sleep(0.3)


async def asked(call: Call) -> None:
    """Nothing has come."""


MOMENTS: dict[str, tuple[str, str, bool, Callable[[Call], Any]]] = {
    "A: it waits for the engine's next piece": ("slow", "hi", True, begun),
    "A: the engine works on a plain answer": ("slow", "hi", False, asked),
    "B: it is sending": ("flood", "hi", True, unread),
    "C: before the first piece": ("mute", "hi [[sim:silent]]", True, asked),
    "D: before the head, streaming": ("mute", "hi", True, asked),
    "D: before the head, plain": ("mute", "hi", False, asked),
}


@pytest.mark.parametrize("moment", list(MOMENTS))
@pytest.mark.parametrize("path", list(PATHS.values()))
@pytest.mark.parametrize("kind", list(PATHS))
async def test_the_engine_and_the_slot_are_free_at_once_when_a_client_leaves(
    served: Served,
    engines: dict[tuple[str, str], SimulatedEngine],
    kind: str,
    path: str,
    moment: str,
    record_property: Callable[[str, Any], None],
) -> None:
    """The engine has one slot, and a second client waits for it: it reaches the engine when the first has left."""
    behaviour, text, stream, when = MOMENTS[moment]
    engine, door = engines[kind, behaviour], served.door()
    before = engine.stats()

    async def ask() -> Call:
        return await door.chat(path, text, stream=stream, model=f"{behaviour}-{kind}")

    call, took = await ask(), []
    for number in range(1, SAMPLES + 1):
        await counted(engine, "started", before["started"] + number)
        await when(call)
        following = await ask()
        await asyncio.sleep(0.05)
        call.leave()
        closed_s = await counted(engine, "cancelled", before["cancelled"] + number)
        free_s = await counted(engine, "started", before["started"] + number + 1)
        took.append(closed_s + free_s)
        call = following
    call.leave()
    await until(lambda: engine.stats()["in_flight"] == 0, "the end of the last")
    record_property("free after s, median and most", f"{statistics.median(took):.3f} {max(took):.3f}")
    assert statistics.median(took) < AT_ONCE_S


async def test_a_client_that_leaves_the_queue_takes_no_slot(
    served: Served, engines: dict[tuple[str, str], SimulatedEngine]
) -> None:
    engine, door = engines["ollama", "mute"], served.door()
    began = engine.stats()["started"]
    calls = []
    for _ in range(3):
        calls.append(await door.chat(PATHS["ollama"], model="mute-ollama"))
        await until(lambda: engine.stats()["started"] == began + 1, "the first request")
        await asyncio.sleep(0.05)
    await until(served.said_waiting, "a row that tells that somebody waits")
    for waiting in calls[1:]:
        waiting.leave()
    await until(lambda: not served.said_waiting(), "no row that tells so")
    calls[0].leave()
    await until(lambda: not served.slots_held(), "the slot")
    assert engine.stats()["started"] == began + 1


async def test_a_client_that_leaves_while_its_slot_is_being_claimed_leaves_it_free(
    served: Served, engines: dict[tuple[str, str], SimulatedEngine]
) -> None:
    """The claim's UPDATE waits for a writer, so that the client has gone when the slot comes."""
    engine, door = engines["openai", "mute"], served.door()
    await until(lambda: not served.slots_held(), "all slots")
    began = engine.stats()["started"]
    path = served.installation.database_url.removeprefix("sqlite:///")
    with contextlib.closing(sqlite3.connect(path, timeout=20, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        call = await door.chat(PATHS["openai"], model="mute-openai")
        await asyncio.sleep(0.3)
        call.leave()
        await asyncio.sleep(0.1)
        writer.execute("ROLLBACK")
    call = await door.chat(PATHS["openai"], model="mute-openai")
    await until(lambda: engine.stats()["started"] == began + 1, "the next client's request")
    call.leave()
    await until(lambda: not served.slots_held(), "all slots")
    assert engine.stats()["started"] == began + 1


async def test_a_client_that_has_sent_another_request_before_it_leaves_is_seen_to_leave(
    served: Served, engines: dict[tuple[str, str], SimulatedEngine]
) -> None:
    """A server that stops reading, because a second request came too early, would not see the end."""
    engine, door = engines["openai", "slow"], served.door()
    before = engine.stats()
    raw = b'{"messages":[{"role":"user","content":"hi"}],"stream":true,"model":"slow-openai"}'
    asked = door.head(PATHS["openai"], len(raw)) + raw
    call = await door.send(asked + asked)
    await until(lambda: engine.stats()["started"] == before["started"] + 1, "the first request")
    await asyncio.sleep(0.2)
    call.leave()
    assert await until(lambda: engine.stats()["cancelled"] == before["cancelled"] + 1, "its end") < AT_ONCE_S


# --- By the thousand --------------------------------------------------------------------------------------

LEAVERS, AT_ONCE, LONGEST_STAY_S = 10_000, 64, 0.25


async def test_nothing_is_left_over_after_ten_thousand_clients_left_at_random_moments(
    served: Served, record_property: Callable[[str, Any], None]
) -> None:
    engines = {
        kind: served.engine(f"crowd-{kind}", slots=20, dialect=kind, tokens_per_second=100, words=100)
        for kind in PATHS
    }
    door, dice = served.door(), random.Random(20261126)
    await crowd(door, dice, 2_000)
    await settled(served, engines)
    before = served.held()
    began = time.monotonic()
    await crowd(door, dice, LEAVERS)
    record_property("clients that left, a second", round(LEAVERS / (time.monotonic() - began)))
    await settled(served, engines)
    await until(lambda: served.held()["tasks"] == before["tasks"], "the end of tasks")
    after = served.held()
    record_property("before", before)
    record_property("after", after)
    assert sum(engine.stats()["cancelled"] for engine in engines.values()) > LEAVERS / 10
    assert after["threads"] <= before["threads"] + SPARE_THREADS
    assert after["files"] <= before["files"] + SPARE_THREADS * FILES_OF_A_CONNECTION
    assert after["rss"] - before["rss"] < FLAT_BYTES


async def crowd(door: Door, dice: random.Random, count: int) -> None:
    """So many clients, AT_ONCE at a time, each of which leaves after a random time, if its answer is not whole."""
    left = iter(range(count))

    async def stay() -> None:
        for _ in left:
            model, path = f"crowd-{dice.choice(list(PATHS))}", dice.choice(list(PATHS.values()))
            call = await door.chat(path, stream=dice.random() < 0.6, model=model)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(dice.uniform(0, LONGEST_STAY_S)):
                    await call.answer()
            call.leave()

    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(stay())


async def settled(served: Served, engines: dict[str, SimulatedEngine]) -> None:
    """No engine works, or has a connection; nobody holds a slot, or waits for one."""
    await until(
        lambda: not any(engine.stats()["in_flight"] for engine in engines.values()),
        "the end of what engines do",
    )
    await until(lambda: not served.slots_held() and not served.said_waiting(), "slots and waiters")
    ports = {str(engine.port) for engine in engines.values()}
    await until(lambda: not ports & served.held()["peers"].keys(), "the end of connections to engines")
    await until(lambda: not PASSING & served.held()["tasks"].keys(), "the end of tasks")
