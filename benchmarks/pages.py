"""What the overview costs whoever watches it: 200 hosts with 8 GPUs each, live, in a real Chromium."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median, quantiles
from typing import Any

from benchmarks.browsing import Kept, Load, Ticks, browser, kept, trace
from benchmarks.report import Row, Section
from tests.chaos.installation import Installation
from tests.e2e.browser import CHROMIUM, MISSING
from tests.simulated_agents import add_nodes, simulated_agents

HOSTS, GPUS = 200, 8
SETTLE_S = 20.0
LOADS = 5
AIM_PAINT_MS = 1000
AIM_KB = 250
AIM_BLOCKED_MS = 50
AIM_GROWTH_MB = 2.0


@dataclass(frozen=True, slots=True)
class Plan:
    """How long everything takes."""

    traced_s: float = 60.0
    minutes: int = 10
    minute_s: float = 60.0


QUICK = Plan(traced_s=20.0, minutes=4, minute_s=10.0)


@dataclass(frozen=True, slots=True)
class Found:
    """What was seen."""

    loads: Sequence[Load]
    ticks: Ticks
    kept: Sequence[Kept]


def measure(*, is_quick: bool = False) -> Section:
    """Cold loads, a trace, then ten minutes of a page that stays open."""
    if CHROMIUM is None:
        return Section("Pages", f"Not measured: {MISSING}.")
    plan = QUICK if is_quick else Plan()
    site = Installation(DPL_POLL_INTERVAL_S=2, OLLAMA_HOST="127.0.0.1:9")
    with simulated_agents(HOSTS, gpus=GPUS) as agents:
        try:
            site.start()
            add_nodes(site, agents)
            time.sleep(SETTLE_S)
            found = _found(site, plan)
        finally:
            site.stop()
    note = (
        f"The overview of `manage.py up` with {HOSTS} simulated agents of {GPUS} GPUs each, in a real Chromium at "
        f"1440 x 900 on the same machine; {LOADS} loads with an empty cache, a trace of {plan.traced_s:g} s, and "
        f"{plan.minutes * plan.minute_s / 60:.1f} minutes with the page open, garbage collected before each look."
    )
    return Section(
        "Pages", note, [*_load_rows(found.loads), *_tick_rows(found.ticks), *_memory_rows(found.kept)]
    )


def _found(site: Installation, plan: Plan) -> Found:
    with browser(site, str(CHROMIUM)) as (chromium, mine):
        loads = [mine.load() for _ in range(LOADS)]
        with mine.watching() as page:
            worked = trace(chromium, page, plan.traced_s)
            return Found(loads, worked, _kept_over(page, plan))


def _kept_over(page: Any, plan: Plan) -> list[Kept]:
    """What the page holds, minute by minute."""
    found = [kept(page)]
    for _ in range(plan.minutes):
        page.wait_for_timeout(1000 * plan.minute_s)
        found.append(kept(page))
    return found


def _load_rows(loads: Sequence[Load]) -> list[Row]:
    paint = median(one.paint_ms for one in loads)
    size = max(one.kilobytes for one in loads)
    first = median(one.message_kb for one in loads)
    return [
        Row(
            "first paint, median",
            f"{paint:.0f} ms (at most {max(one.paint_ms for one in loads):.0f})",
            f"< {AIM_PAINT_MS} ms",
            paint < AIM_PAINT_MS,
        ),
        Row("all of the first load, as sent", f"{size:.0f} KB", f"≤ {AIM_KB} KB", size <= AIM_KB),
        Row("the socket's largest message of a load, before compression", f"{first:.0f} KB"),
    ]


def _tick_rows(worked: Ticks) -> list[Row]:
    seldom = quantiles(worked.longest_ms, n=20)[-1]
    return [
        Row(
            f"main thread, the longest task of a tick, p95 of {len(worked.longest_ms)} ticks",
            f"{seldom:.0f} ms (median {median(worked.longest_ms):.0f}, at most {max(worked.longest_ms):.0f})",
            f"< {AIM_BLOCKED_MS} ms",
            seldom < AIM_BLOCKED_MS,
        ),
        Row(
            "main thread, all work of a tick, median",
            f"{median(worked.busy_ms):.0f} ms (at most {max(worked.busy_ms):.0f})",
        ),
    ]


def _memory_rows(seen: Sequence[Kept]) -> list[Row]:
    """From the second look to the last: the first minutes fill the curves."""
    early, late = seen[1], seen[-1]
    growth = late.heap_mb - early.heap_mb
    return [
        Row(
            f"heap's growth over {len(seen) - 2} looks",
            f"{growth:+.2f} MB (to {late.heap_mb:.1f} MB)",
            f"< {AIM_GROWTH_MB:g} MB",
            growth < AIM_GROWTH_MB,
        ),
        Row(
            "elements and listeners, early and late",
            f"{early.nodes} and {early.listeners}, {late.nodes} and {late.listeners}",
            "≤ 2 % more",
            late.nodes <= 1.02 * early.nodes and late.listeners <= 1.02 * early.listeners,
        ),
    ]
