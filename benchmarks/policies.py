"""What each scheduling policy gives: a simulated fleet, the real `choose`, and how long one decision takes.

Discrete-event, seeded, without a clock: the same figures on each machine, but for the time of a decision. Nodes of
speed 1 : 0.5 : 0.25 have two slots each and remember the beginnings of conversations, as engines do, as many as fit
in their cache. As in the gateway, a request takes a slot of the first engine in the decision's order that has one
free, and the longest waiting gets the next that becomes free when none has.
"""

from __future__ import annotations

import heapq
import random
import time
from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from statistics import median

from benchmarks.report import Row, Section
from inference.homes import Homes
from inference.scheduling import EngineSnapshot, Request, choose

SPEEDS = (1.0, 0.5, 0.25)
SLOTS = 2
PREFILL_PER_S, DECODE_PER_S = 4_000.0, 50.0
"""Tokens per second of a node of speed 1: of a prompt, and of one answer."""
CACHE_TOKENS = 48_000
"""How many tokens of conversations a node remembers."""
MODEL = "m"
OURS = "expected_finish"
POLICIES = (OURS, "least_load", "round_robin", "random")
LOAD, OVERLOAD = 0.7, 1.5
FORGET = 0.05
"""How much of a measured mean one more answer replaces."""
AIM_DECISION_MS = 1.0


@dataclass(frozen=True, slots=True)
class Work:
    """One request: when it comes, how long what it begins with is, what is new in it, and what is answered."""

    at: float
    conversation: int
    begins_with: int
    new: int
    answer: int


@dataclass(frozen=True, slots=True)
class Traffic:
    """What people ask: of a few conversations again and again, or each time something else."""

    name: str
    conversations_a_slot: int
    """0: each request begins differently."""

    def requests(self, nodes: int, count: int, load: float) -> list[Work]:
        """`count` requests for a fleet that would be busy to `load` without any memory."""
        draw = random.Random(f"{self.name} {nodes} {load}")
        lengths = [draw.randint(2_000, 10_000) for _ in range(self.conversations_a_slot * SLOTS * nodes)]
        prompt = (sum(lengths) / len(lengths) if lengths else 0.0) + 300
        speed = sum(SPEEDS[place % len(SPEEDS)] for place in range(nodes)) * SLOTS
        rate = load * speed / (prompt / PREFILL_PER_S + 200 / DECODE_PER_S)
        now, made = 0.0, []
        for number in range(count):
            now += draw.expovariate(rate)
            spoken = draw.randrange(len(lengths)) if lengths else number
            length = lengths[spoken] if lengths else 0
            made.append(Work(now, spoken + 1, length, 300, draw.randint(50, 350)))
        return made


TRAFFIC = (Traffic("conversations that go on", 2), Traffic("nothing in common", 0))


@dataclass(slots=True)
class Node:
    """One engine: what the scheduler sees of it, and what it remembers."""

    speed: float
    seen: EngineSnapshot
    cache: OrderedDict[int, int] = field(default_factory=OrderedDict)
    cached: int = 0
    seconds: float = 0.0

    def begin(self, work: Work) -> tuple[float, float]:
        """Take a slot; seconds to the first token, and to the end."""
        known = self.cache.pop(work.conversation, 0)
        self.cached -= known
        prompt = work.begins_with + work.new - min(known, work.begins_with)
        if work.begins_with:
            self._remember(work.conversation, work.begins_with)
        first = prompt / (PREFILL_PER_S * self.speed) + 1 / (DECODE_PER_S * self.speed)
        self._count(+1)
        return first, first + work.answer / (DECODE_PER_S * self.speed)

    def end(self, took: float) -> None:
        """Give the slot back, and be measured."""
        self.seconds = took if not self.seconds else self.seconds + FORGET * (took - self.seconds)
        self._count(-1)

    @property
    def is_free(self) -> bool:
        """Whether it has a slot left."""
        return self.seen.in_flight < self.seen.slots

    def _remember(self, conversation: int, tokens: int) -> None:
        self.cache[conversation] = tokens
        self.cached += tokens
        while self.cached > CACHE_TOKENS:
            self.cached -= self.cache.popitem(last=False)[1]

    def _count(self, by: int) -> None:
        measured = {MODEL: self.seconds} if self.seconds else {}
        self.seen = replace(self.seen, in_flight=self.seen.in_flight + by, seconds=measured)


class Fleet:
    """Works through requests by one policy."""

    def __init__(self, count: int, policy: str) -> None:
        self.nodes = [
            Node(SPEEDS[place % len(SPEEDS)], _seen(place, has_gpu=True, slots=SLOTS))
            for place in range(count)
        ]
        self._policy, self._draw = policy, random.Random(count)
        self._waiting: deque[Work] = deque()
        self._ends: list[tuple[float, int, Node, float]] = []
        self._number = 0
        self._homes = Homes()
        self.firsts: list[float] = []
        self.last_end = 0.0

    def run(self, requests: Sequence[Work]) -> None:
        """Let them come, one after the other, and wait for the last answer."""
        for work in requests:
            self._end_until(work.at)
            node = self._choose(work)
            if node is None:
                self._waiting.append(work)
            else:
                self._begin(node, work, work.at)
        self._end_until(float("inf"))

    def _choose(self, work: Work) -> Node | None:
        """The node by the policy's order; None while none is free, when no order matters."""
        free = [node for node in self.nodes if node.is_free]
        if not free or self._policy == "random":
            return self._draw.choice(free) if free else None
        home = self._homes.of(work.conversation)
        request = Request(model=MODEL, prefix=work.conversation, home=home)
        decision = choose(request, [node.seen for node in self.nodes], work.at, self._policy)
        ordered = (self.nodes[one.engine_id] for one in decision.candidates)
        return next(node for node in ordered if node.is_free)

    def _begin(self, node: Node, work: Work, now: float) -> None:
        self._homes.note(work.conversation, node.seen.engine_id)
        first, whole = node.begin(work)
        self.firsts.append(now - work.at + first)
        self._number += 1
        heapq.heappush(self._ends, (now + whole, self._number, node, whole))

    def _end_until(self, now: float) -> None:
        while self._ends and self._ends[0][0] <= now:
            at, _, node, took = heapq.heappop(self._ends)
            node.end(took)
            self.last_end = at
            if self._waiting:
                self._begin(node, self._waiting.popleft(), at)


def measure() -> Section:
    """All policies on small, larger and large fleets, with both kinds of traffic."""
    rows = [_decision_row()]
    for traffic in TRAFFIC:
        for nodes, count in ((8, 4_000), (64, 6_000), (1_000, 4_000)):
            rows.append(_ttft_row(traffic, nodes, count))
        rows += [_throughput_row(traffic, nodes, 4_000) for nodes in (8, 64)]
    note = (
        f"A simulation around the real `choose`: nodes of speed 1 : 0.5 : 0.25 with {SLOTS} slots, "
        f"{CACHE_TOKENS:,} tokens of cache each; conversations of 2,000 to 10,000 tokens, or prompts of 300; "
        f"answers of 50 to 350 tokens. Arrivals by chance, {LOAD:g} of what the fleet could do without cache "
        f"({OVERLOAD:g} for throughput). TTFT of the later half of the requests."
    )
    return Section("Scheduling policies", note, rows)


def _ttft_row(traffic: Traffic, nodes: int, count: int) -> Row:
    requests = traffic.requests(nodes, count, LOAD)
    told = []
    for policy in POLICIES:
        fleet = Fleet(nodes, policy)
        fleet.run(requests)
        later = sorted(fleet.firsts[count // 2 :])
        told.append(f"{policy} {later[len(later) // 2]:.2f} / {later[int(len(later) * 0.99)]:.2f}")
    return Row(f"{nodes:,} nodes, {traffic.name}: TTFT p50 / p99, s", "; ".join(told))


def _throughput_row(traffic: Traffic, nodes: int, count: int) -> Row:
    requests = traffic.requests(nodes, count, OVERLOAD)
    told = []
    for policy in POLICIES:
        fleet = Fleet(nodes, policy)
        fleet.run(requests)
        told.append(f"{policy} {count / fleet.last_end:.2f}")
    return Row(f"{nodes:,} nodes, {traffic.name}: requests/s when overloaded", "; ".join(told))


def _seen(place: int, **more: object) -> EngineSnapshot:
    return replace(EngineSnapshot(place, place, f"node{place}", is_online=True, resident=(MODEL,)), **more)  # type: ignore[arg-type]


def _decision_row() -> Row:
    """One decision over 1,000 measured nodes, some of them busy, with and without a conversation's prefix."""
    snapshots = [
        _seen(place, slots=4, in_flight=place % 5, has_gpu=True, seconds={MODEL: 1.0 + place % 7})
        for place in range(1_000)
    ]
    times = {
        prefix: _decision_ms(Request(model=MODEL, prefix=prefix), snapshots) for prefix in (0, 2**61 - 1)
    }
    told = f"{times[0]:.2f} ms; with a conversation's prefix {times[2**61 - 1]:.2f} ms"
    is_reached = max(times.values()) < AIM_DECISION_MS
    return Row("one decision over 1,000 nodes, median", told, f"< {AIM_DECISION_MS:g} ms", is_reached)


def _decision_ms(request: Request, snapshots: Sequence[EngineSnapshot]) -> float:
    took = []
    for _ in range(300):
        began = time.perf_counter()
        choose(request, snapshots, 1.0)
        took.append(time.perf_counter() - began)
    return 1000 * median(took)
