"""Places in the engine: first come, first served, and none is ever lost."""

from __future__ import annotations

import asyncio

import pytest

from agent.simulator.slots import QueueFullError, Slots


async def settle() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


async def test_it_gives_its_places_and_then_none() -> None:
    slots = Slots(2, None)
    assert {slots.take(), slots.take()} == {0, 1}
    assert slots.take() is None
    assert slots.high_water == 2


async def test_those_who_wait_are_called_in_the_order_in_which_they_came() -> None:
    slots, order = Slots(1, None), []
    place = slots.take()
    assert place is not None

    async def work(name: str) -> None:
        held = await slots.wait()
        order.append(name)
        slots.give(held)

    tasks = [asyncio.create_task(work(name)) for name in "abc"]
    await settle()
    assert (slots.waiting, slots.take()) == (3, None)
    slots.give(place)
    await asyncio.gather(*tasks)
    assert order == ["a", "b", "c"]
    assert (slots.busy, slots.waiting, slots.high_water) == (set(), 0, 1)


async def test_too_many_may_not_wait() -> None:
    slots = Slots(1, 1)
    place = slots.take()
    assert place is not None
    waiting = asyncio.create_task(slots.wait())
    await settle()
    with pytest.raises(QueueFullError):
        await slots.wait()
    slots.give(place)
    assert await waiting == place


async def test_one_who_leaves_while_waiting_is_not_called() -> None:
    slots = Slots(1, None)
    place = slots.take()
    assert place is not None
    leaver, stayer = asyncio.create_task(slots.wait()), asyncio.create_task(slots.wait())
    await settle()
    leaver.cancel()
    await settle()
    slots.give(place)
    assert await stayer == place


async def test_one_who_leaves_at_the_moment_of_the_call_passes_the_place_on() -> None:
    slots = Slots(1, None)
    place = slots.take()
    assert place is not None
    leaver, stayer = asyncio.create_task(slots.wait()), asyncio.create_task(slots.wait())
    await settle()
    slots.give(place)
    leaver.cancel()
    assert await stayer == place
    slots.give(place)
    assert slots.take() == place


async def test_a_place_that_is_given_back_right_after_one_left_goes_to_the_next() -> None:
    slots = Slots(1, None)
    place = slots.take()
    assert place is not None
    leaver, stayer = asyncio.create_task(slots.wait()), asyncio.create_task(slots.wait())
    await settle()
    leaver.cancel()
    slots.give(place)
    assert await stayer == place
    with pytest.raises(asyncio.CancelledError):
        await leaver
