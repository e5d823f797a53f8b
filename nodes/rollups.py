"""Decides how history is thinned out with age: the tiers, and how many readings become one point. Pure.

Times are epoch milliseconds; a bucket is named by its start and holds what is at or after it, before the next.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
MOST_FIGURES = 512
"""How many figures of one node a block keeps; an agent that invents more loses those that it told least often."""


@dataclass(frozen=True, slots=True)
class Tier:
    """One resolution: a point for each `step_ms` (0: each reading as it came), kept for `keep_ms`.

    A row of the table holds `block_ms` of it.
    """

    step_ms: int
    block_ms: int
    keep_ms: int

    @property
    def step_s(self) -> int:
        """How the tier is named in rows: 0, 10, 60, 600, 3600."""
        return self.step_ms // 1000

    def start_of(self, at_ms: int) -> int:
        """The start of the block that a moment falls into."""
        return at_ms - at_ms % self.block_ms


RAW = Tier(0, 20_000, HOUR_MS)
TIERS = (
    RAW,
    Tier(10_000, 10 * MINUTE_MS, 6 * HOUR_MS),
    Tier(60_000, HOUR_MS, 48 * HOUR_MS),
    Tier(10 * MINUTE_MS, 6 * HOUR_MS, 30 * DAY_MS),
    Tier(HOUR_MS, DAY_MS, 30 * DAY_MS),
)
"""From fine to coarse; each block of one covers whole blocks of the one before, few enough to be made in an instant."""


class Point(NamedTuple):
    """What so many readings of one figure within a bucket were: their mean, the lowest and the highest."""

    t_ms: int
    readings: int
    mean: float
    low: float
    high: float


class Buckets:
    """Sums up readings and points of one figure in buckets of `step_ms`. A bucket without any is not there."""

    def __init__(self, step_ms: int) -> None:
        self._step_ms = step_ms
        self._sums: dict[int, list[float]] = {}

    def add_readings(self, times: Iterable[int], values: Iterable[float]) -> None:
        """Readings with their times; NaN is none."""
        step, sums = self._step_ms, self._sums
        for at, value in zip(times, values, strict=True):
            if value == value:
                found = sums.get(at - at % step)
                if found is None:
                    sums[at - at % step] = [1, value, value, value]
                else:
                    found[0] += 1
                    found[1] += value
                    if value < found[2]:
                        found[2] = value
                    elif value > found[3]:
                        found[3] = value

    def add_points(self, points: Iterable[tuple[int, int, float, float, float]]) -> None:
        """Points of a finer tier, weighted by how many readings each stands for."""
        step, sums = self._step_ms, self._sums
        for at, count, mean, low, high in points:
            found = sums.get(at - at % step)
            if found is None:
                sums[at - at % step] = [count, count * mean, low, high]
            else:
                found[0] += count
                found[1] += count * mean
                if low < found[2]:
                    found[2] = low
                if high > found[3]:
                    found[3] = high

    def points(self) -> list[Point]:
        """One point per bucket that has any reading, by time."""
        return [
            Point(at, int(count), total / count, low, high)
            for at, (count, total, low, high) in sorted(self._sums.items())
        ]


def next_tier(tier: Tier) -> Tier | None:
    """The coarser tier that this one is rolled up into; None for the last."""
    place = TIERS.index(tier)
    return TIERS[place + 1] if place + 1 < len(TIERS) else None


def tier_for(*, step_ms: int, from_ms: int, now_ms: int) -> Tier:
    """Which tier answers for buckets of `step_ms` that begin at `from_ms`.

    The coarsest that is no coarser than the buckets and divides them; where that is not kept for so long, the
    finest that is.
    """
    reach = [tier for tier in TIERS if from_ms >= now_ms - tier.keep_ms] or [TIERS[-1]]
    fitting = [tier for tier in reach if tier is RAW or step_ms % tier.step_ms == 0]
    return fitting[-1] if fitting else reach[0]


NICE_STEPS_S = (
    *(1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600),
    *(7200, 10_800, 14_400, 21_600, 43_200, 86_400),
)


def default_step_ms(*, span_ms: int, most_points: int, interval_s: float) -> int:
    """A round step with at most so many points, and at least two readings in each."""
    for step_s in NICE_STEPS_S:
        if step_s >= 2 * interval_s and span_ms <= step_s * 1000 * most_points:
            return step_s * 1000
    days = max(span_ms / most_points, 2000 * interval_s) / DAY_MS
    return (int(days) + 1) * DAY_MS


def aligned(points: Sequence[Point], *, times: Sequence[int]) -> list[Point | None]:
    """The points at these times; None where there is a gap."""
    found = {point.t_ms: point for point in points}
    return [found.get(at) for at in times]
