"""The simulated engine behind both dialects: its models, places, faults, speed and counts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from agent.simulator.faults import FaultDice
from agent.simulator.options import Options
from agent.simulator.reply_text import babble, pieces_of
from agent.simulator.residency import Model, Residency
from agent.simulator.slots import Slots

# Sleeping for less costs more than it gains: the tokens that fell due meanwhile leave together.
SHORTEST_STEP_S = 0.002
# An answer in one piece need not be worked at token by token.
WHOLE_STEP_S = 0.025


class Refusal(Exception):
    """A request that gets an error for an answer; each dialect writes it in its own shape."""

    def __init__(self, status: int, message: str, kind: str = "", **detail: object) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.kind = kind
        self.detail = detail


@dataclass
class Counts:
    """What became of the requests that generate. Each that started is finished, failed, cancelled or under way."""

    started: int = 0
    finished: int = 0
    failed: int = 0
    cancelled: int = 0
    tokens: int = 0


class Engine:
    """Everything that requests share. For one event loop."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.started_at = time.time()
        self.slots = Slots(options.slots, options.max_queue)
        self.residency = Residency(
            options.models, time.monotonic, load_s=options.load_s, preload=options.preload
        )
        self.faults = FaultDice(options.faults, options.fail_rate, options.seed)
        self.counts = Counts()
        self._ready_at = time.monotonic() + options.load_s
        self._babble = babble(options.words)

    @property
    def is_loading(self) -> bool:
        """Whether a server that loads its one model at its start would still be at it."""
        return time.monotonic() < self._ready_at

    def reply(self, prompt: str, limit: int | None) -> tuple[Sequence[str], str]:
        """The reply's pieces and why it ends. An echo is never cut short: it is there to be compared."""
        if self.options.echo:
            return pieces_of(prompt), "stop"
        if limit is not None and 0 < limit < len(self._babble):
            return self._babble[:limit], "length"
        return self._babble, "stop"

    async def load(self, model: Model, keep_alive_s: float | None) -> None:
        """Load a model without asking it anything."""
        wait = self.residency.enter(model)
        try:
            if wait:
                await asyncio.sleep(wait)
        finally:
            self.residency.leave(model, keep_alive_s)


class Pace:
    """How many tokens of a reply are due by now. The speed is that of one request, less what the others cost."""

    def __init__(self, engine: Engine, total: int, *, shortest_step_s: float) -> None:
        options = engine.options
        self._slots = engine.slots
        self._total = total
        self._rate = options.tokens_per_second
        self._slowdown = options.parallel_slowdown
        self._shortest = shortest_step_s
        self._progress = float(total) if self._rate <= 0 else 0.0
        self._now = time.monotonic()

    @property
    def is_over(self) -> bool:
        """Whether the reply has taken its time."""
        return self._progress >= self._total

    @property
    def due(self) -> int:
        """Tokens that have been made by now; the first is there at once."""
        return min(self._total, int(self._progress) + 1)

    async def step(self) -> None:
        """Wait until about one more token is due."""
        interval = (1 + self._slowdown * (len(self._slots.busy) - 1)) / self._rate
        left = (self._total - self._progress) * interval
        await asyncio.sleep(min(left, max(self._shortest, interval)))
        now = time.monotonic()
        self._progress += (now - self._now) / interval
        if self._total - self._progress < 1e-6:
            self._progress = float(self._total)
        self._now = now
