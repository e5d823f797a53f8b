"""Energy: what the GPUs of each node used on each day (UTC), from the history of their power. Reads only.

Power is integrated in stretches of ten minutes: one with any reading counts by its mean, one without counts as
nothing and is missing from `hours`. So a sum is a lower bound where an agent was silent, and says by how much. Only
GPUs tell their power; the rest of a machine is not in it.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from datetime import time as clock

from django.core.cache import cache

from dpl_site.lib.db import now_ms
from nodes.models import Installation, Node
from nodes.rollups import DAY_MS, HOUR_MS, MINUTE_MS, Point
from nodes.series import fleet_window

METRIC = "gpu_power_w"
STEP_MS = 10 * MINUTE_MS
SETTLED_MS = 2 * HOUR_MS
"""After its end a day can still get late readings for so long; then it never changes, and is remembered."""
REMEMBERED_S = 40 * 86_400
WITHIN_S = 1.0


@dataclass(frozen=True, slots=True)
class Energy:
    """What the GPUs of a node used: kWh, and for how many hours their power was known."""

    kwh: float
    hours: float

    def __add__(self, other: Energy) -> Energy:
        return Energy(self.kwh + other.kwh, self.hours + other.hours)


@dataclass(frozen=True, slots=True)
class Found:
    """(day, node id) → energy, for the days and nodes whose power is known; `left` are days that had to wait."""

    known: dict[tuple[date, int], Energy]
    left: tuple[date, ...] = ()


def energy_by_day(days: Iterable[date], *, within_s: float = WITHIN_S) -> Found:
    """The energy of these days, the newest first.

    A large fleet's day takes most of a second, once: what is not done within `within_s` is left for the next time.
    """
    now, until = now_ms(), time.monotonic() + within_s
    node_ids = list(Node.objects.values_list("id", flat=True))
    known: dict[tuple[date, int], Energy] = {}
    left = []
    for day in sorted(days, reverse=True):
        if time.monotonic() > until and not _is_remembered(day):
            left.append(day)
        else:
            known |= {(day, node_id): energy for node_id, energy in _of_day(day, node_ids, now).items()}
    return Found(known, tuple(left))


def _of_day(day: date, node_ids: Collection[int], now: int) -> dict[int, Energy]:
    start = int(datetime.combine(day, clock.min, UTC).timestamp() * 1000)
    if start > now:
        return {}
    if start + DAY_MS + SETTLED_MS > now:
        return _integrated(start, node_ids, now)
    known: dict[int, Energy] | None = cache.get(_name(day))
    if known is None:
        known = _integrated(start, node_ids, now)
        cache.set(_name(day), known, REMEMBERED_S)
    return known


def _is_remembered(day: date) -> bool:
    return cache.get(_name(day)) is not None


def _name(day: date) -> str:
    """An installation's past days are its own, also where a cache is shared by several."""
    return f"energy:{_installation()}:{day}"


def _integrated(start: int, node_ids: Collection[int], now: int) -> dict[int, Energy]:
    times, nodes = fleet_window(
        node_ids=node_ids, metrics=[METRIC], from_ms=start, to_ms=min(start + DAY_MS, now), step_ms=STEP_MS
    )
    spans = [min(times.step, now - at) for at in times]
    found = {node_id: _of_node(list(figures.values()), spans) for node_id, figures in nodes.items()}
    return {node_id: energy for node_id, energy in found.items() if energy.hours}


def _of_node(gpus: list[list[Point | None]], spans: list[int]) -> Energy:
    """All GPUs of a node; the hours are those in which any of them told."""
    watt_ms = sum(
        point.mean * span for points in gpus for point, span in zip(points, spans, strict=True) if point
    )
    known_ms = sum(span for at, span in enumerate(spans) if any(points[at] for points in gpus))
    return Energy(watt_ms / HOUR_MS / 1000, known_ms / HOUR_MS)


def _installation() -> str:
    return str(Installation.objects.values_list("id", flat=True).first() or "")
