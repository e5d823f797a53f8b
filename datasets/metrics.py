"""Jobs and their items for Prometheus; a few statements however many jobs and nodes there are."""

from __future__ import annotations

from collections.abc import Iterator

from django.db.models import Count, Sum
from prometheus_client.metrics_core import Metric

from datasets.models import Item, Job, Shard
from datasets.progress import RATE_WINDOW_S
from datasets.states import WORKABLE, ItemState, JobState
from dpl_site.lib.db import now_ms
from dpl_site.lib.prometheus import RowsCollector, gauge, gauges
from nodes.selectors import live_nodes

MOST_RATED = 50
"""Running jobs whose items are counted for the rate: each costs a look into the index for each node."""


class JobCollector(RowsCollector):
    """The rows of jobs as metric families."""

    def collect(self) -> Iterator[Metric]:
        """Every family, read now."""
        jobs = dict(Job.objects.order_by().values_list("state").annotate(Count("id")))
        yield gauges(
            *("dpl_jobs", "Jobs by state.", ("state",)),
            [((state.value,), float(jobs.get(state.value, 0))) for state in JobState],
        )
        total = Job.objects.aggregate(all=Sum("total"))["all"] or 0
        done = Shard.objects.aggregate(succeeded=Sum("succeeded"), failed=Sum("failed"))
        succeeded, failed = done["succeeded"] or 0, done["failed"] or 0
        items = {"succeeded": succeeded, "failed": failed, "unfinished": max(total - succeeded - failed, 0)}
        yield gauges(
            *("dpl_job_items", "Items of all jobs that are kept, by what became of them.", ("state",)),
            [((state,), float(count)) for state, count in items.items()],
        )
        text = "Items recorded per second over the last minute."
        yield gauge("dpl_job_items_per_second", text, _recorded_lately() / RATE_WINDOW_S)


def _recorded_lately() -> int:
    """Items of running jobs; nodes are named so that the index serves."""
    running = Job.objects.filter(state__in=(*WORKABLE, JobState.STOPPING)).order_by("-id")
    ids = list(running.values_list("id", flat=True)[:MOST_RATED])
    if not ids:
        return 0
    return Item.objects.filter(
        job_id__in=ids,
        node_id__in=list(live_nodes().values_list("id", flat=True)),
        state__in=[ItemState.SUCCEEDED, ItemState.FAILED],
        finished_ms__gt=now_ms() - int(RATE_WINDOW_S * 1000),
    ).count()
