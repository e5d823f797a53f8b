"""What this web process knows of the engines: snapshots and addresses, read anew when they are a moment old.

Async. One statement of the fleet serves all requests of a moment; what live traffic tells is known at once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from dpl_site.lib.db import call
from inference.breaker import PAUSE_MS
from inference.scheduling import EngineSnapshot, Request, Sifted, sift
from inference.selectors import engine_snapshots, targets
from inference.slots import take_trial
from inference.upstream import Target

FRESH_S = 0.5
MOST_SIFTED = 256
"""For how many kinds of request what may take them is kept: clients may ask for any name."""
STALE_S = 5.0
"""Requests go by an older roster while a new one is read, but not by one as old as this."""


@dataclass(frozen=True, slots=True)
class Roster:
    """The engines as they were read. `in_flight` of a snapshot counts the requests of other processes only."""

    snapshots: Mapping[int, EngineSnapshot] = field(default_factory=dict)
    targets: Mapping[int, Target] = field(default_factory=dict)
    on_trial: frozenset[int] = frozenset()
    _counted: dict[tuple[int, int], EngineSnapshot] = field(default_factory=dict, compare=False, repr=False)
    """Snapshots with requests counted in, by engine and requests: the same ones come again and again."""
    _sifted: dict[tuple[Any, ...], Sifted] = field(default_factory=dict, compare=False, repr=False)

    def seen_with(self, busy: Mapping[int, int]) -> list[EngineSnapshot]:
        """The snapshots with this process's own requests, by engine, counted in."""
        return [
            self._count_in(one, busy[one.engine_id]) if busy.get(one.engine_id) else one
            for one in self.snapshots.values()
        ]

    def sifted(self, request: Request, busy: Mapping[int, int]) -> Sifted:
        """What `sift` gives for `seen_with`. The filters do not look at load, so they run once for requests alike."""
        key = (request.model, request.embeds, request.nodes, request.avoid)
        known = self._sifted.get(key)
        if known is None:
            known = sift(request, list(self.snapshots.values()))
            if len(self._sifted) < MOST_SIFTED:
                self._sifted[key] = known
        accepted = [
            (self._count_in(one, busy[one.engine_id]), model) if busy.get(one.engine_id) else (one, model)
            for one, model in known.accepted
        ]
        return Sifted(accepted, known.rejected)

    def _count_in(self, snapshot: EngineSnapshot, requests: int) -> EngineSnapshot:
        key = (snapshot.engine_id, requests)
        made = self._counted.get(key)
        if made is None:
            made = self._counted[key] = replace(snapshot, in_flight=snapshot.in_flight + requests)
        return made


class RosterReader:
    """Keeps the roster of one event loop.

    Guarantee: a request never decides by rows older than STALE_S. It writes nothing but the mark that an open
    breaker's trial was taken; kill -9 leaves nothing behind.
    """

    def __init__(
        self, held: Callable[[], Mapping[int, int]], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`held` gives how many slots of each engine this process holds: they are taken off what the rows say."""
        self._held, self._clock = held, clock
        self._roster = Roster()
        self._read_at = float("-inf")
        self._reading: asyncio.Task[None] | None = None

    async def now(self) -> Roster:
        """The roster, as old as FRESH_S at most unless a new one is on its way."""
        age = self._clock() - self._read_at
        if age > FRESH_S:
            reading = self._begin()
            if age > STALE_S:
                await asyncio.shield(reading)
        return self._roster

    async def anew(self) -> Roster:
        """The roster as the rows are now."""
        await asyncio.shield(self._begin())
        return self._roster

    def _begin(self) -> asyncio.Task[None]:
        if self._reading is None or self._reading.done():
            self._reading = asyncio.get_running_loop().create_task(self._read(), name="roster")
        return self._reading

    async def _read(self) -> None:
        self._roster = await call(_read, dict(self._held()))
        self._read_at = self._clock()


def _read(held: Mapping[int, int]) -> Roster:
    found = engine_snapshots()
    on_trial = frozenset(one.engine_id for one in found if _is_tried(one))
    snapshots = {}
    for one in found:
        others = max(one.in_flight - held.get(one.engine_id, 0), 0)
        is_open = one.is_breaker_open and one.engine_id not in on_trial
        snapshots[one.engine_id] = replace(one, in_flight=others, is_breaker_open=is_open)
    return Roster(snapshots, targets(), on_trial)


def _is_tried(snapshot: EngineSnapshot) -> bool:
    """Whether an engine with an open breaker may be tried now, by this process."""
    if not snapshot.is_breaker_open or not snapshot.is_online:
        return False
    return take_trial(engine_id=snapshot.engine_id, pause_ms=PAUSE_MS)
