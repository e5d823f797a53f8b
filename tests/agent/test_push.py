"""Push: readings in order, at least once, over any trouble; the lock of the answer stands, and goes when it goes."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from agent.lock import Claim, NodeLock
from agent.outbox import Outbox
from agent.push import (
    FIRST_RETRY_S,
    LONGEST_INTERVAL_S,
    LONGEST_RETRY_S,
    PUSH_PATH,
    REMOVED_RETRY_S,
    SHORTEST_INTERVAL_S,
    Pusher,
    claim_of,
)
from tests.agent.test_lock import Clock

OK: dict[str, Any] = {"lock": None, "interval_s": 2.0}
LOCK: dict[str, Any] = {"id": "l1", "owner": "ada", "installation": "i1", "reason": "a run", "ttl_s": 10}


@dataclass
class Server:
    """The other end: answers as it is told, remembers what arrived."""

    answer: Callable[[], tuple[int, Any]] = lambda: (200, OK)
    arrived: list[Any] = field(default_factory=list)
    headers: Mapping[str, str] = field(default_factory=dict)
    asked: int = 0

    def post(self, path: str, body: bytes, headers: Mapping[str, str] | None = None) -> tuple[int, bytes]:
        assert path == PUSH_PATH
        self.asked += 1
        status, told = self.answer()
        self.headers = headers or {}
        if status == 200:
            self.arrived += json.loads(body)["readings"]
        return status, told if isinstance(told, bytes) else json.dumps(told).encode()


@dataclass
class Node:
    """An agent that pushes, over a clock that stands until it is moved."""

    server: Server
    pusher: Pusher
    clock: Clock
    lock: NodeLock
    intervals: list[float]
    number: int = 0

    def sample(self, count: int = 1) -> None:
        for _ in range(count):
            self.number += 1
            self.pusher.collect()


@pytest.fixture
def node() -> Node:
    clock, server, intervals = Clock(), Server(), list[float]()
    lock = NodeLock(clock)
    pusher = Pusher(
        link=server,
        token="t0",
        lock=lock,
        status=lambda: {"n": made.number},
        set_interval=intervals.append,
        outbox=Outbox(most=100),
        clock=clock,
    )
    made = Node(server, pusher, clock, lock, intervals)
    return made


def numbers(node: Node) -> list[int]:
    return [reading["n"] for reading in node.server.arrived]


def push_under(node: Node, lock: Mapping[str, Any] | None) -> None:
    """Push one reading to a server that wants this lock."""
    node.server.answer = lambda: (200, OK | {"lock": lock})
    node.sample()
    node.pusher.step()


def test_each_sample_arrives_in_order_with_the_token(node: Node) -> None:
    node.sample(2)
    node.pusher.step()
    node.sample()
    node.pusher.step()
    assert numbers(node) == [1, 2, 3]
    assert node.server.headers["Authorization"] == "Bearer t0"


@pytest.mark.parametrize("trouble", [500, 502, 503, 429, 404, 301, OSError("no route"), TimeoutError("slow")])
def test_while_the_server_is_away_readings_wait_and_arrive_when_it_is_back(node: Node, trouble: Any) -> None:
    def away() -> tuple[int, Any]:
        if isinstance(trouble, Exception):
            raise trouble
        return trouble, b"<html>"

    node.server.answer = away
    for _ in range(20):
        node.sample()
        node.pusher.step()
        node.clock.now += 2
    node.server.answer = lambda: (200, OK)
    node.clock.now += LONGEST_RETRY_S
    node.pusher.step()
    assert numbers(node) == list(range(1, 21))


def test_it_tries_less_and_less_often_and_at_once_again_after_success(node: Node) -> None:
    node.server.answer = lambda: (503, {})
    rests: list[float] = []
    began = node.clock.now
    node.sample()
    node.pusher.step()
    while len(rests) < 7:
        node.clock.now += 0.5
        asked = node.server.asked
        node.pusher.step()
        if node.server.asked > asked:
            rests.append(node.clock.now - began)
            began = node.clock.now
    assert rests == [FIRST_RETRY_S, 2, 4, 8, 16, LONGEST_RETRY_S, LONGEST_RETRY_S]
    node.server.answer = lambda: (200, OK)
    node.clock.now += LONGEST_RETRY_S
    node.pusher.step()
    node.server.answer = lambda: (503, {})
    node.sample()
    node.pusher.step()
    asked = node.server.asked
    node.clock.now += FIRST_RETRY_S
    node.pusher.step()
    assert node.server.asked == asked + 1


def test_what_no_longer_fits_is_dropped_oldest_first_and_said_once(
    node: Node, caplog: pytest.LogCaptureFixture
) -> None:
    node.server.answer = lambda: (503, {})
    with caplog.at_level(logging.WARNING, "agent"):
        node.sample(150)
    assert [record.message for record in caplog.records] == [
        "push: the server has been away too long; the oldest readings are dropped"
    ]
    node.server.answer = lambda: (200, OK)
    while node.server.arrived[-1:] != [{"n": 150}]:
        node.pusher.step()
    assert numbers(node) == list(range(51, 151))


def test_too_large_calls_become_smaller_ones(node: Node) -> None:
    node.sample(40)

    def answer() -> tuple[int, Any]:
        return (413, {}) if node.server.asked <= 3 else (200, OK)

    node.server.answer = answer
    while len(node.server.arrived) < 40:
        node.pusher.step()
        node.clock.now += LONGEST_RETRY_S
    assert numbers(node) == list(range(1, 41))


def test_the_servers_lock_stands_here_and_goes_when_it_says_so(node: Node) -> None:
    node.server.answer = lambda: (200, OK | {"lock": LOCK})
    node.sample()
    node.pusher.step()
    standing = node.lock.current()
    assert standing is not None
    assert (standing.id, standing.owner, standing.installation, standing.reason) == (
        "l1",
        "ada",
        "i1",
        "a run",
    )
    node.clock.now += 8
    node.sample()
    node.pusher.step()
    node.clock.now += 8
    assert node.lock.current() is not None
    node.server.answer = lambda: (200, OK)
    node.sample()
    node.pusher.step()
    assert node.lock.current() is None


def test_the_servers_next_lock_takes_the_place_of_its_last(node: Node) -> None:
    for name in ("l1", "l2"):
        push_under(node, LOCK | {"id": name})
    standing = node.lock.current()
    assert standing is not None
    assert standing.id == "l2"


def test_the_lock_of_somebody_else_is_neither_taken_nor_freed(node: Node) -> None:
    node.lock.acquire(Claim(id="other", caller="10.0.0.5"))
    for lock in (LOCK, None):
        push_under(node, lock)
        standing = node.lock.current()
        assert standing is not None
        assert standing.id == "other"


def test_a_lock_of_a_server_that_falls_silent_ends_by_itself(node: Node) -> None:
    node.server.answer = lambda: (200, OK | {"lock": LOCK})
    node.sample()
    node.pusher.step()
    node.clock.now += 10
    assert node.lock.current() is None


@pytest.mark.parametrize("told", [None, 5, [], {}, {"id": ""}, {"id": 7}])
def test_a_lock_that_makes_no_sense_is_none(told: Any) -> None:
    assert claim_of(told) is None


@pytest.mark.parametrize(("ttl", "meant"), [(5, 5.0), (-1, 1.0), (1e9, 86400.0), ("x", 1.0), (True, 1.0)])
def test_a_locks_time_is_kept_within_bounds(ttl: Any, meant: float) -> None:
    claim = claim_of({"id": "a", "ttl_s": ttl, "owner": 5, "reason": "x" * 5000})
    assert claim is not None
    assert (claim.ttl_s, claim.owner, len(claim.reason or "")) == (meant, None, 1000)


@pytest.mark.parametrize(
    ("told", "meant"),
    [(1, [1.0]), (0, [SHORTEST_INTERVAL_S]), (9999, [LONGEST_INTERVAL_S]), ("2", []), (None, []), (True, [])],
)
def test_the_server_says_how_often_within_bounds(node: Node, told: Any, meant: list[float]) -> None:
    node.server.answer = lambda: (200, {"interval_s": told})
    node.sample()
    node.pusher.step()
    assert node.intervals == meant


@pytest.mark.parametrize("answer", [b"", b"[]", b"not json", b"[" * 99_999])
def test_an_answer_that_makes_no_sense_still_confirms(node: Node, answer: bytes) -> None:
    node.server.answer = lambda: (200, answer)
    node.sample()
    node.pusher.step()
    node.server.answer = lambda: (200, OK)
    node.sample()
    node.pusher.step()
    assert numbers(node) == [1, 2]


def test_a_removed_node_keeps_nothing_and_asks_every_five_minutes(
    node: Node, caplog: pytest.LogCaptureFixture
) -> None:
    error = {"error": {"code": "node_removed", "message": "gone"}}
    node.server.answer = lambda: (401, error)
    node.sample(30)
    with caplog.at_level(logging.WARNING, "agent"):
        for _ in range(6):
            node.sample()
            node.pusher.step()
            node.clock.now += REMOVED_RETRY_S / 3
    assert node.server.asked == 2
    assert [record.message for record in caplog.records] == [
        "push: the server refuses this agent (401): this node was removed there; "
        "add it again and join with a new token"
    ]
    node.server.answer = lambda: (200, OK)
    node.clock.now += REMOVED_RETRY_S
    node.pusher.step()
    node.sample()
    node.pusher.step()
    assert len(node.server.arrived) == 2


def test_a_token_that_is_refused_is_tried_again_every_five_minutes_and_frees_the_machine(node: Node) -> None:
    node.server.answer = lambda: (200, OK | {"lock": LOCK | {"ttl_s": 600}})
    node.sample()
    node.pusher.step()
    node.server.answer = lambda: (401, {"error": {"code": "unauthorized", "message": "no"}})
    node.sample()
    node.pusher.step()
    assert node.lock.current() is None
    asked = node.server.asked
    node.clock.now += REMOVED_RETRY_S - 1
    node.pusher.step()
    assert node.server.asked == asked
    node.clock.now += 1
    node.pusher.step()
    assert node.server.asked == asked + 1
