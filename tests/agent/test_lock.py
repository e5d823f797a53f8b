"""The lock: one at most, its own may renew, nobody holds a machine past the time."""

from __future__ import annotations

import itertools
import threading
from dataclasses import dataclass, replace
from typing import Any

import pytest

from agent.lock import Claim, Lock, NodeLock


@dataclass
class Clock:
    """A clock that stands until it is moved."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def lock(clock: Clock) -> NodeLock:
    return NodeLock(clock)


def claim(lock_id: str = "a", **more: Any) -> Claim:
    return replace(Claim(id=lock_id, caller="10.0.0.5", ttl_s=60.0), **more)


def test_it_is_free_at_first(lock: NodeLock) -> None:
    assert lock.current() is None


def test_it_gives_a_free_machine_to_whoever_asks(lock: NodeLock) -> None:
    verdict = lock.acquire(claim(owner="ada", installation="i1", reason="training"))
    assert verdict.granted
    assert verdict.lock == Lock("a", "ada", "i1", "training", expires=1060.0)
    assert lock.current() == verdict.lock


def test_a_lock_without_an_owner_is_in_the_callers_name(lock: NodeLock) -> None:
    verdict = lock.acquire(claim())
    assert verdict.lock is not None
    assert (verdict.lock.owner, verdict.lock.reason) == ("10.0.0.5", "")


def test_it_refuses_another_and_shows_the_lock_that_stands(lock: NodeLock) -> None:
    standing = lock.acquire(claim("a", owner="ada")).lock
    verdict = lock.acquire(claim("b", owner="bob"))
    assert not verdict.granted
    assert verdict.lock == standing == lock.current()


def test_its_own_id_renews_and_keeps_what_is_not_said_anew(lock: NodeLock, clock: Clock) -> None:
    lock.acquire(claim(owner="ada", installation="i1", reason="training"))
    clock.now += 50
    verdict = lock.acquire(claim(ttl_s=600.0))
    assert verdict.granted
    assert verdict.lock == Lock("a", "ada", "i1", "training", expires=1650.0)


def test_a_renewal_may_change_owner_and_reason_and_shorten_the_time(lock: NodeLock) -> None:
    lock.acquire(claim(owner="ada", reason="training"))
    verdict = lock.acquire(claim(owner="bob", reason="tests", ttl_s=5.0))
    assert verdict.lock == Lock("a", "bob", None, "tests", expires=1005.0)


@pytest.mark.parametrize(
    ("standing", "asking", "is_its"),
    [("i1", "i1", True), ("i1", "i2", False), ("i1", None, True), (None, "i2", True), (None, None, True)],
)
def test_two_installations_that_count_alike_do_not_share_a_lock(
    lock: NodeLock, standing: str | None, asking: str | None, is_its: bool
) -> None:
    lock.acquire(claim("1", installation=standing))
    assert lock.acquire(claim("1", installation=asking)).granted is is_its
    assert lock.release("1", installation=asking).granted is is_its


def test_it_is_gone_at_the_end_of_its_time_and_not_before(lock: NodeLock, clock: Clock) -> None:
    lock.acquire(claim(ttl_s=60.0))
    clock.now += 59.9
    assert lock.current() is not None
    clock.now += 0.1
    assert lock.current() is None
    assert lock.acquire(claim("b")).granted


def test_a_renewal_after_the_end_is_a_new_lock(lock: NodeLock, clock: Clock) -> None:
    lock.acquire(claim(owner="ada", reason="training"))
    clock.now += 61
    verdict = lock.acquire(claim())
    assert verdict.lock is not None
    assert (verdict.lock.owner, verdict.lock.reason) == ("10.0.0.5", "")


def test_its_own_id_unlocks(lock: NodeLock) -> None:
    lock.acquire(claim())
    assert lock.release("a").granted
    assert lock.current() is None


def test_another_cannot_unlock_unless_by_force(lock: NodeLock) -> None:
    standing = lock.acquire(claim()).lock
    refused = lock.release("b")
    assert (refused.granted, refused.lock) == (False, standing)
    assert lock.current() == standing
    assert lock.release("b", force=True).granted
    assert lock.current() is None


def test_unlocking_the_unlocked_is_granted(lock: NodeLock) -> None:
    assert lock.release("a").granted


def test_of_many_who_ask_at_once_one_is_granted(clock: Clock) -> None:
    for _ in range(20):
        lock = NodeLock(clock)
        granted = granted_at_once(lock, 8)
        standing = lock.current()
        assert standing is not None
        assert granted == [standing.id]


def granted_at_once(lock: NodeLock, count: int) -> list[str]:
    """The ids that were granted when so many threads claimed at the same time."""
    gate = threading.Barrier(count)
    granted: list[str] = []

    def try_it(name: str) -> None:
        gate.wait()
        if lock.acquire(claim(name)).granted:
            granted.append(name)

    threads = [threading.Thread(target=try_it, args=(str(index),)) for index in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return granted


class Model:
    """What the lock should do, written down as plainly as can be: a holder and an end."""

    def __init__(self) -> None:
        self.holder: str | None = None
        self.end = 0.0

    def apply(self, step: str, now: float) -> bool:
        """Whether a step is granted, and what it leaves."""
        if self.holder is not None and now >= self.end:
            self.holder = None
        verb, _, who = step.partition(" ")
        if verb == "lock":
            if self.holder not in (None, who):
                return False
            self.holder, self.end = who, now + 10
            return True
        if self.holder not in (None, who) and verb != "force":
            return False
        self.holder = None
        return True


def test_every_sequence_of_five_steps_ends_as_the_model_says() -> None:
    steps = ("lock a", "lock b", "unlock a", "unlock b", "force b", "wait 6")
    for sequence in itertools.product(steps, repeat=5):
        clock, model = Clock(0.0), Model()
        lock = NodeLock(clock)
        for step in sequence:
            verb, _, who = step.partition(" ")
            if verb == "wait":
                clock.now += 6
                continue
            if verb == "lock":
                verdict = lock.acquire(claim(who, ttl_s=10.0))
            else:
                verdict = lock.release(who, force=verb == "force")
            assert verdict.granted is model.apply(step, clock.now), sequence
            holder = lock.current()
            assert (holder.id if holder else None) == model.holder, sequence
