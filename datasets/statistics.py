"""The sums behind a job's detailed status, each one statement, cheap at any size: counters, index sums, samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from django.db import connection
from django.db.models import Count, F, Min, Sum
from django.db.models.functions import Coalesce

from datasets.models import Item, Job, Shard
from datasets.progress import NodeSums, Recent, is_worth_retrying
from datasets.states import ItemState, JobState
from dpl_site.lib.db import now_ms
from inference.models import Slot
from nodes.selectors import live_nodes

SAMPLE = 2000
"""How many of a node's latest successful items its percentiles are taken from, at most."""
SAMPLE_OF_ALL = 20_000
NODES_AT_ONCE = 100
CAUSES = 50


def recorded(job_ids: Sequence[str]) -> dict[str, tuple[int, int]]:
    """Job → (succeeded, failed) by its shards' counters; jobs without shards are left out."""
    sums = (
        Shard.objects.filter(job_id__in=job_ids)
        .values_list("job_id")
        .annotate(Sum("succeeded"), Sum("failed"))
    )
    return {job_id: (succeeded, failed) for job_id, succeeded, failed in sums}


def node_sums(job: Job) -> list[NodeSums]:
    """What each node did over all; items that no node has had are left out.

    Summed from the index `items_by_node` alone; groups of one node and state are put together here, as
    conditional sums would cost twice as much.
    """
    rows = (
        Item.objects.filter(job=job, node__isnull=False)
        .values("node_id", "state")
        .annotate(
            count=Count("pk"),
            busy_ms=Sum("duration_ms"),
            tokens_in=Sum("prompt_tokens"),
            tokens_out=Sum("completion_tokens"),
            first_ms=Min(F("finished_ms") - Coalesce(F("duration_ms"), 0)),
            restarts=Sum("interruptions"),
        )
        .order_by("node_id")
    )
    found: dict[int, NodeSums] = {}
    for row in rows:
        known = found.get(row["node_id"], NodeSums(row["node_id"]))
        found[known.node_id] = _added(known, **row)
    return list(found.values())


def _added(known: NodeSums, *, state: str, count: int, restarts: int, **row: int | None) -> NodeSums:
    """A node's sums with those of its items in one state."""
    restarted = replace(known, restarts=known.restarts + restarts)
    if state not in (ItemState.SUCCEEDED, ItemState.FAILED):
        return replace(restarted, running=count) if state == ItemState.RUNNING else restarted
    first = [moment for moment in (known.first_ms, row["first_ms"]) if moment is not None]
    return replace(
        restarted,
        succeeded=count if state == ItemState.SUCCEEDED else known.succeeded,
        failed=count if state == ItemState.FAILED else known.failed,
        busy_ms=known.busy_ms + (row["busy_ms"] or 0),
        tokens_in=known.tokens_in + (row["tokens_in"] or 0),
        tokens_out=known.tokens_out + (row["tokens_out"] or 0),
        first_ms=min(first, default=None),
    )


def lately(job: Job, sums: Sequence[NodeSums], *, since_ms: int) -> Recent:
    """What was recorded since a moment; nodes are named so that the index serves."""
    recent = Item.objects.filter(
        job=job,
        node_id__in=[one.node_id for one in sums],
        state__in=[ItemState.SUCCEEDED, ItemState.FAILED],
        finished_ms__gt=since_ms,
    )
    row = recent.aggregate(
        count=Count("pk"),
        tokens=Sum("completion_tokens"),
        first_ms=Min(F("finished_ms") - Coalesce(F("duration_ms"), 0)),
    )
    return Recent(row["count"], row["tokens"] or 0, row["first_ms"])


def tokens_lately(*, within: timedelta) -> int:
    """Tokens written for items of running jobs that ended lately; jobs and nodes are named so that the index serves."""
    jobs = list(
        Job.objects.filter(state__in=[JobState.RUNNING, JobState.STOPPING]).values_list("id", flat=True)
    )
    if not jobs:
        return 0
    ended = Item.objects.filter(
        job_id__in=jobs,
        node_id__in=list(live_nodes().values_list("id", flat=True)),
        state__in=[ItemState.SUCCEEDED, ItemState.FAILED],
        finished_ms__gt=now_ms() - within // timedelta(milliseconds=1),
    )
    return ended.aggregate(tokens=Sum("completion_tokens"))["tokens"] or 0


def with_samples(job: Job, sums: Sequence[NodeSums]) -> list[NodeSums]:
    """The same with each node's latest durations."""
    found: dict[int, list[int]] = {one.node_id: [] for one in sums}
    size = min(SAMPLE, SAMPLE_OF_ALL // max(len(found), 1))
    node_ids = list(found)
    for start in range(0, len(node_ids), NODES_AT_ONCE):
        for node_id, duration_ms in _latest(job.id, node_ids[start : start + NODES_AT_ONCE], size):
            found[node_id].append(duration_ms)
    return [replace(one, durations_ms=found[one.node_id]) for one in sums]


def _latest(job_id: str, node_ids: Sequence[int], size: int) -> list[tuple[int, int]]:
    """(node, duration) of each node's latest successes, through the index, for all nodes in one statement."""
    one = (
        "SELECT * FROM (SELECT node_id, duration_ms FROM datasets_item WHERE job_id = %s AND node_id = %s "
        "AND state = %s AND duration_ms IS NOT NULL ORDER BY finished_ms DESC LIMIT %s) AS latest"
    )
    parameters: list[str | int] = []
    for node_id in node_ids:
        parameters += [job_id, node_id, ItemState.SUCCEEDED.value, size]
    with connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join([one] * len(node_ids)), parameters)
        return list(cursor.fetchall())


def slots_by_node(node_ids: Sequence[int]) -> dict[int, int]:
    """Node → how many requests at once its engines take."""
    rows = Slot.objects.filter(engine__node_id__in=node_ids, is_retired=False).values_list("engine__node_id")
    return dict(rows.annotate(Count("id")))


def error_groups(job: Job) -> list[dict[str, object]]:
    """Failed items by cause, the most frequent first, each with one example of what was said."""
    rows = (
        Item.objects.filter(job=job, state=ItemState.FAILED)
        .values("cause")
        .annotate(count=Count("id"), example=Min("error"))
        .order_by("-count", "cause")[:CAUSES]
    )
    return [
        {
            "cause": row["cause"],
            "count": row["count"],
            "example": row["example"],
            "retryable": is_worth_retrying(row["cause"]),
        }
        for row in rows
    ]
