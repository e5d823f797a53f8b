"""How fast a job was, over its time: recorded items per second in at most POINTS equal steps."""

from __future__ import annotations

from typing import Any

from django.db.models import Count, F

from datasets.models import Item, Job
from datasets.selectors import span_of
from datasets.states import ItemState
from dpl_site.lib.db import now_ms

POINTS = 120
SHORTEST_MS = 2000


def pace(job: Job) -> dict[str, Any]:
    """`{"step_ms", "t": [epoch ms…], "per_second": […]}`; empty before the first item ran.

    One statement, counted from the index `items_by_node` alone. Not for every tick: the page asks once and goes on
    with what the socket tells.
    """
    span = span_of(job, now_ms())
    if span is None:
        return {"step_ms": SHORTEST_MS, "t": [], "per_second": []}
    step = max(-(-(span.end_ms - span.start_ms) // POINTS), SHORTEST_MS)
    counts = dict(
        Item.objects.filter(job=job, state__in=[ItemState.SUCCEEDED, ItemState.FAILED])
        .annotate(step=F("finished_ms") / step)
        .values_list("step")
        .annotate(Count("pk"))
        .order_by()
    )
    steps = range(span.start_ms // step, span.end_ms // step + 1)
    return {
        "step_ms": step,
        "t": [(place + 1) * step for place in steps],
        "per_second": [round(1000 * counts.get(place, 0) / step, 6) for place in steps],
    }
