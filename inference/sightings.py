"""What one process sees of its engines: how fast they are, how they fail, and which of them get nothing for a while."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from dpl_site.lib.db import Threads
from inference import breaker, slots
from inference.dialects.base import Reply
from inference.errors import InferenceError
from inference.scheduling import EngineSnapshot
from inference.speeds import Tally

OPEN_REST_S = 1.0
"""An engine whose breaker this process opened gets nothing from it until the rows have been read again."""
ENOUGH_SAMPLES = 3


class Sightings:
    """Feeds the breaker and the measured speeds from live traffic. What matters of it is written to rows."""

    def __init__(self, threads: Threads, clock: Callable[[], float]) -> None:
        self.chores: set[asyncio.Task[None]] = set()
        self._threads, self._clock = threads, clock
        self._tallies: defaultdict[tuple[int, str], Tally] = defaultdict(Tally)
        self._streaks: dict[int, breaker.Streak] = defaultdict(breaker.Streak)
        self._resting: dict[int, float] = {}

    def rests(self, engine_id: int) -> bool:
        """Whether an engine gets nothing from here for the moment."""
        return self._resting.get(engine_id, 0.0) > self._clock()

    def any_rests(self) -> bool:
        """Whether any engine gets nothing from here for the moment."""
        now = self._clock()
        return any(until > now for until in self._resting.values()) if self._resting else False

    def rest(self, engine_id: int, seconds: float) -> None:
        """Send an engine nothing for so long."""
        self._resting[engine_id] = self._clock() + seconds

    def succeeded(self, engine_id: int, model: str, reply: Reply, *, was_trial: bool) -> None:
        """A real generation came through; `was_trial` when the engine's breaker was open."""
        seconds = (reply.duration_ms or 0) / 1000
        self._tallies[engine_id, model].add(seconds=seconds, tokens=reply.completion_tokens)
        streak = self._streaks.pop(engine_id, None)
        had_trouble = was_trial or (streak is not None and streak.failures > 0)
        if had_trouble and breaker.after_success(streak or breaker.Streak()).closes:
            self.chore(slots.close_breaker, engine_id=engine_id)

    def failed(self, engine_id: int, error: InferenceError) -> None:
        """A try ended in an error; the breaker opens when that says that the engine is at fault."""
        verdict = breaker.after_error(self._streaks[engine_id], error)
        self._streaks[engine_id] = verdict.streak
        if verdict.opens:
            self.rest(engine_id, OPEN_REST_S)
            self.chore(slots.open_breaker, engine_id=engine_id, reason=verdict.reason)

    def usual_seconds(self, engine_id: int, model: str, snapshot: EngineSnapshot | None) -> float | None:
        """How long an item takes there: as measured here lately, else as the rows say, else None."""
        tally = self._tallies.get((engine_id, model))
        if tally and tally.requests >= ENOUGH_SAMPLES:
            return tally.seconds_per_request
        return snapshot.seconds.get(model) if snapshot else None

    def take_tallies(self) -> dict[tuple[int, str], Tally]:
        """What was measured since the last call."""
        taken, self._tallies = self._tallies, defaultdict(Tally)
        return taken

    def chore(self, service: Callable[..., Any], **given: Any) -> None:
        """A small write that nobody waits for."""

        async def run() -> None:
            await self._threads.call(service, **given)

        task = asyncio.get_running_loop().create_task(run())
        self.chores.add(task)
        task.add_done_callback(self.chores.discard)
