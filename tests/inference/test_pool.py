"""The slots of a web process: used again without the database, handed on in order, given back when idle."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from dpl_site.lib.db import call
from inference import pool as module
from inference import slots
from inference.models import Slot, SlotWaiter
from inference.pool import NotRegistered, QueueFull, SlotPool, WaitedTooLong
from nodes.instances import expire
from tests.datasets.making import an_engine, an_instance

pytestmark = pytest.mark.django_db(transaction=True)


@asynccontextmanager
async def pooled(*, most_waiting: int = 8) -> AsyncIterator[tuple[SlotPool, uuid.UUID]]:
    """A pool of a living process."""
    owner = (await call(an_instance, "web")).id
    pool = SlotPool(lambda: owner, most_waiting=most_waiting)
    yield pool, owner
    await pool.close()


async def held_slots() -> int:
    return await call(Slot.objects.filter(holder__isnull=False).count)


async def until(condition: Callable[[], object], timeout_s: float = 15.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.01)


async def seen(condition: Callable[[], bool], timeout_s: float = 15.0) -> None:
    """Wait for a condition of the rows."""
    deadline = time.monotonic() + timeout_s
    while not await call(condition):
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.01)


async def test_a_slot_is_claimed_once_and_used_again() -> None:
    engine = await call(an_engine, "fast", slots=1)
    async with pooled() as (pool, _):
        first = await pool.take([engine.id], patience_s=15)
        pool.give(first)
        second = await pool.take([engine.id], patience_s=15)
        assert second == first
        assert pool.busy == {engine.id: 1}
        pool.give(second)
    assert await held_slots() == 0


async def test_a_slot_that_lies_idle_goes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "IDLE_S", 0.1)
    engine = await call(an_engine, "fast", slots=2)
    async with pooled() as (pool, _):
        pool.give(await pool.take([engine.id], patience_s=15))
        assert pool.held() == {engine.id: 1}
        await until(lambda: not pool.held())
        await seen(lambda: not Slot.objects.filter(holder__isnull=False).exists())


async def test_a_slot_that_drains_wait_for_goes_back_sooner(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "IDLE_S", 60)
    engine = await call(an_engine, "fast", slots=1)
    drain = (await call(an_instance, "drain")).id
    await call(slots.wait, instance_id=drain, work_class=slots.BATCH)
    async with pooled() as (pool, _):
        pool.give(await pool.take([engine.id], patience_s=15))
        await until(lambda: not pool.held())


async def test_the_best_engine_with_a_free_slot_is_taken() -> None:
    best, other = await call(an_engine, "fast", slots=1), await call(an_engine, "slow", slots=1)
    async with pooled() as (pool, _):
        first = await pool.take([best.id, other.id], patience_s=15)
        second = await pool.take([best.id, other.id], patience_s=15)
        assert (first.engine_id, second.engine_id) == (best.id, other.id)
        pool.give(first)
        pool.give(second)


async def test_who_waits_longest_comes_first() -> None:
    engine = await call(an_engine, "fast", slots=1)
    order: list[int] = []
    async with pooled() as (pool, _):
        held = await pool.take([engine.id], patience_s=15)

        async def ask(number: int) -> None:
            mine = await pool.take([engine.id], patience_s=15)
            order.append(number)
            pool.give(mine)

        waiting = []
        for number in range(3):
            waiting.append(asyncio.create_task(ask(number)))
            await until(lambda many=number + 1: pool.waiting == many)  # type: ignore[misc]  # a default binds it
        pool.give(held)
        await asyncio.gather(*waiting)
    assert order == [0, 1, 2]


async def test_waiting_is_seen_by_other_processes_and_ends_in_time() -> None:
    engine = await call(an_engine, "fast", slots=1)
    other = (await call(an_instance, "web")).id
    await call(slots.claim, engine_ids=[engine.id], instance_id=other, work_class=slots.INTERACTIVE)
    async with pooled() as (pool, owner):
        waiting = asyncio.create_task(pool.take([engine.id], patience_s=3))
        await seen(SlotWaiter.objects.filter(owner_id=owner).exists)
        with pytest.raises(WaitedTooLong):
            await waiting
        await seen(lambda: not SlotWaiter.objects.exists())


async def test_a_slot_that_another_process_frees_is_found() -> None:
    engine = await call(an_engine, "fast", slots=1)
    other = (await call(an_instance, "web")).id
    theirs = await call(slots.claim, engine_ids=[engine.id], instance_id=other, work_class=slots.INTERACTIVE)
    async with pooled() as (pool, _):
        waiting = asyncio.create_task(pool.take([engine.id], patience_s=15))
        await asyncio.sleep(0.1)
        await call(slots.release, held=theirs)
        pool.give(await waiting)


async def test_one_who_leaves_the_queue_takes_nothing_along() -> None:
    engine = await call(an_engine, "fast", slots=1)
    async with pooled() as (pool, _):
        held = await pool.take([engine.id], patience_s=15)
        leaving = asyncio.create_task(pool.take([engine.id], patience_s=15))
        await until(lambda: pool.waiting == 1)
        pool.give(held)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        again = await pool.take([engine.id], patience_s=15)
        pool.give(again)
        assert pool.busy == {}


async def test_more_than_may_wait_are_told_at_once() -> None:
    engine = await call(an_engine, "fast", slots=1)
    async with pooled(most_waiting=0) as (pool, _):
        with pytest.raises(QueueFull):
            await pool.take([engine.id], patience_s=15)


async def test_a_process_that_is_not_registered_holds_nothing() -> None:
    with pytest.raises(NotRegistered):
        await SlotPool(lambda: None, most_waiting=8).take([1], patience_s=15)


async def test_what_an_expired_instance_held_is_forgotten() -> None:
    engine = await call(an_engine, "fast", slots=1)
    owners = [(await call(an_instance, "web")).id for _ in range(2)]
    pool = SlotPool(lambda: owners[0], most_waiting=8)
    pool.give(await pool.take([engine.id], patience_s=15))
    await call(expire, instance_id=owners.pop(0))
    fresh = await pool.take([engine.id], patience_s=15)
    assert await call(Slot.objects.filter(holder_id=owners[0]).count) == 1
    pool.give(fresh)
    await pool.close()


async def test_a_slot_that_was_retired_is_not_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHECK_S", 0.05)
    engine = await call(an_engine, "fast", slots=2)
    async with pooled() as (pool, _):
        held = [await pool.take([engine.id], patience_s=15) for _ in range(2)]
        await call(slots.sync_slots, engine_id=engine.id, count=1)
        await until(lambda: len(pool._mine) == 1)
        for one in held:
            pool.give(one)
        again = await pool.take([engine.id], patience_s=15)
        assert again.index == 0
        pool.give(again)
    assert await held_slots() == 0


async def test_a_busy_process_shares_with_one_that_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHECK_S", 0.05)
    monkeypatch.setattr(module, "SHARE_S", 0.6)
    engine = await call(an_engine, "fast", slots=1)
    async with pooled() as (busy, _), pooled() as (other, _):

        async def wait() -> None:
            other.give(await other.take([engine.id], patience_s=15), is_sound=False)

        held = await busy.take([engine.id], patience_s=15)
        waiting = asyncio.create_task(wait())
        rounds = 0
        while not waiting.done():
            await asyncio.sleep(0.01)
            busy.give(held)
            held = await busy.take([engine.id], patience_s=15)
            rounds += 1
        busy.give(held)
        await waiting
    assert rounds > 3, "it worked on until another came"


async def test_who_waits_is_served_when_the_process_is_registered_again() -> None:
    engine = await call(an_engine, "fast", slots=1)
    other = (await call(an_instance, "web")).id
    theirs = await call(slots.claim, engine_ids=[engine.id], instance_id=other, work_class=slots.INTERACTIVE)
    owners: list[uuid.UUID | None] = [(await call(an_instance, "web")).id]
    pool = SlotPool(lambda: owners[0], most_waiting=8)
    waiting = asyncio.create_task(pool.take([engine.id], patience_s=15))
    await until(lambda: pool.waiting == 1)
    owners[0] = None
    await asyncio.sleep(0.2)
    owners[0] = (await call(an_instance, "web")).id
    await call(slots.release, held=theirs)
    pool.give(await waiting)
    await pool.close()
