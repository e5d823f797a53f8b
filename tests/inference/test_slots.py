"""Slots: claimed by one process at a time, freed with it, shared fairly."""

from __future__ import annotations

import pytest

from inference import slots
from inference.models import EngineStatus, Slot, SlotWaiter
from inference.slots import AGED, BATCH, INTERACTIVE
from nodes.instances import expire
from tests.datasets.making import an_engine, an_instance

pytestmark = pytest.mark.django_db


def test_it_claims_free_slots_in_the_order_of_preference() -> None:
    slow, fast = an_engine("slow", slots=2), an_engine("fast", slots=2)
    got = slots.claim(engine_ids=[fast.id, slow.id], instance_id=an_instance().id, work_class=BATCH, limit=3)
    assert [one.engine_id for one in got] == [fast.id, fast.id, slow.id]


def test_a_slot_has_one_holder_until_it_is_given_back() -> None:
    engine = an_engine("fast", slots=1)
    first, second = an_instance(), an_instance()
    [held] = slots.claim(engine_ids=[engine.id], instance_id=first.id, work_class=BATCH)
    assert slots.claim(engine_ids=[engine.id], instance_id=second.id, work_class=BATCH) == []
    slots.release(held=[held])
    [again] = slots.claim(engine_ids=[engine.id], instance_id=second.id, work_class=BATCH)
    assert again.token == held.token + 1


def test_a_late_release_does_not_free_the_next_holders_slot() -> None:
    engine = an_engine("fast", slots=1)
    dead, heir = an_instance(), an_instance()
    [old] = slots.claim(engine_ids=[engine.id], instance_id=dead.id, work_class=BATCH)
    expire(instance_id=dead.id)
    [new] = slots.claim(engine_ids=[engine.id], instance_id=heir.id, work_class=BATCH)
    slots.release(held=[old])
    assert slots.still_held(held=[old, new]) == {new.slot_id}
    assert Slot.objects.get(id=new.slot_id).holder_id == heir.id


def test_leases_of_the_dead_are_freed_and_counted() -> None:
    engine = an_engine("fast", slots=2)
    dead, living = an_instance(), an_instance()
    slots.claim(engine_ids=[engine.id], instance_id=dead.id, work_class=BATCH)
    slots.claim(engine_ids=[engine.id], instance_id=living.id, work_class=BATCH)
    expire(instance_id=dead.id)
    assert slots.free_dead_leases() == 1
    assert slots.free_dead_leases() == 0
    assert Slot.objects.filter(holder__isnull=False).count() == 1


def test_batch_never_claims_past_an_interactive_request_that_waits() -> None:
    engine, other = an_engine("fast", slots=1), an_engine("slow", slots=1)
    chat, drain = an_instance("web"), an_instance()
    slots.wait(instance_id=chat.id, work_class=INTERACTIVE, engine_id=engine.id)
    both = [engine.id, other.id]
    got = slots.claim(engine_ids=both, instance_id=drain.id, work_class=BATCH, limit=2)
    assert [one.engine_id for one in got] == [other.id]
    assert slots.claim(engine_ids=both, instance_id=chat.id, work_class=INTERACTIVE)
    slots.stop_waiting(instance_id=chat.id, work_class=INTERACTIVE)


def test_a_dead_waiter_holds_nobody_back() -> None:
    engine = an_engine("fast", slots=1)
    chat = an_instance("web")
    slots.wait(instance_id=chat.id, work_class=INTERACTIVE)
    expire(instance_id=chat.id)
    assert slots.claim(engine_ids=[engine.id], instance_id=an_instance().id, work_class=BATCH)


def test_fewer_slots_retire_the_superfluous_ones_and_more_bring_them_back() -> None:
    engine = an_engine("fast", slots=3)
    holder = an_instance()
    held = slots.claim(engine_ids=[engine.id], instance_id=holder.id, work_class=BATCH, limit=3)
    slots.sync_slots(engine_id=engine.id, count=1)
    assert slots.still_held(held=held) == {held[0].slot_id}
    slots.release(held=held)
    assert len(slots.claim(engine_ids=[engine.id], instance_id=holder.id, work_class=BATCH, limit=3)) == 1
    slots.sync_slots(engine_id=engine.id, count=4)
    assert Slot.objects.filter(engine=engine, is_retired=False).count() == 4


def test_one_request_at_a_time_tries_an_open_breaker() -> None:
    engine = an_engine("fast")
    assert slots.open_breaker(engine_id=engine.id, reason="refused")
    assert not slots.open_breaker(engine_id=engine.id, reason="refused")
    assert not slots.take_trial(engine_id=engine.id, pause_ms=60_000)
    EngineStatus.objects.filter(engine=engine).update(breaker_open_ms=1)
    assert slots.take_trial(engine_id=engine.id, pause_ms=2_000)
    assert not slots.take_trial(engine_id=engine.id, pause_ms=2_000)
    slots.close_breaker(engine_id=engine.id)
    assert EngineStatus.objects.get(engine=engine).breaker_open_ms is None


def test_batch_work_that_waited_too_long_goes_before_interactive_requests_on_its_engines() -> None:
    fast, other = an_engine("fast", slots=1), an_engine("other", slots=1)
    web, drain = an_instance("web"), an_instance()
    slots.wait(instance_id=web.id, work_class=INTERACTIVE)
    slots.wait_aged(instance_id=drain.id, engine_ids=[fast.id])
    assert slots.others_wait(instance_id=web.id)
    got = slots.claim(engine_ids=[fast.id, other.id], instance_id=web.id, work_class=INTERACTIVE, limit=2)
    assert [one.engine_id for one in got] == [other.id], "it waits for the other engine only"
    [held] = slots.claim(engine_ids=[fast.id], instance_id=drain.id, work_class=AGED)
    assert Slot.objects.get(id=held.slot_id).work_class == BATCH
    slots.release(held=[held])
    slots.wait_aged(instance_id=drain.id, engine_ids=[])
    assert not SlotWaiter.objects.filter(work_class=AGED).exists()
    assert slots.claim(engine_ids=[fast.id], instance_id=web.id, work_class=INTERACTIVE)


def test_aged_work_of_the_dead_holds_nobody_back() -> None:
    engine = an_engine("fast", slots=1)
    drain = an_instance()
    slots.wait_aged(instance_id=drain.id, engine_ids=[engine.id])
    expire(instance_id=drain.id)
    assert slots.claim(engine_ids=[engine.id], instance_id=an_instance("web").id, work_class=INTERACTIVE)
