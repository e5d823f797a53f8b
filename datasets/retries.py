"""Giving failed items another chance: their shards open again, counters and items in one transaction per chunk."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from django.db import connection, transaction
from django.db.models import BooleanField, Case, Count, F, Q, Value, When

from datasets.models import Item, ItemOutput, Job, Shard
from datasets.moves import ENDED, job_by_id, reopen
from datasets.states import WORKABLE, ItemState, JobState, ShardState
from dpl_site.lib.db import retrying
from dpl_site.lib.refusals import Refused
from nodes.instances import owner_is_dead

SHARDS_AT_ONCE = 50


def job_retry_failed(*, job_id: str) -> Job:
    """Make the failed items of an ended job pending, as if new, and queue the job.

    The job is queued with the first chunk, so that a call that is cut in the middle leaves a job that runs, with
    counters that agree with the rows and the rest of its failed items still failed; calling again takes those.
    Stopping the job meanwhile ends the call, too. Raises Refused (409) while the job runs, and when nothing
    failed.
    """
    _ended(job_by_id(job_id))
    failed = Shard.objects.filter(job_id=job_id, failed__gt=0).order_by("index")
    shard_ids = list(failed.values_list("id", flat=True))
    if not shard_ids:
        raise _nothing_failed()
    for start in range(0, len(shard_ids), SHARDS_AT_ONCE):
        chunk = shard_ids[start : start + SHARDS_AT_ONCE]
        if not retrying(partial(_retry_some, job_id, chunk, is_first=start == 0)):
            break
    return job_by_id(job_id)


def _retry_some(job_id: str, shard_ids: Sequence[int], *, is_first: bool) -> bool:
    """One chunk and the job with it; whether there is to be another.

    Shards are held before the job, as a claim and a commit do it: in the other order two of them could wait for
    each other on PostgreSQL.
    """
    with transaction.atomic():
        _hold(shard_ids)
        job = job_by_id(job_id, for_update=True)
        if is_first:
            _ended(job)
        elif job.state not in WORKABLE | {JobState.COMPLETED}:
            return False
        _reopen_shards(shard_ids)
        reopen(job_id, ENDED)
    return True


def _hold(shard_ids: Sequence[int]) -> None:
    """Nobody else writes to these shards until the end of the transaction; SQLite has one writer anyway."""
    if connection.vendor == "postgresql":
        list(Shard.objects.select_for_update().filter(id__in=shard_ids).order_by("id").values_list("id"))


def _nothing_failed() -> Refused:
    message = "No item of this job has failed, so there is nothing to retry."
    return Refused(message, code="nothing_failed", status=409)


def _ended(job: Job) -> Job:
    if job.state not in ENDED:
        message = f"This job is {job.state}. Retry its failed items when it has ended, or stop it first."
        raise Refused(message, code="still_running", status=409)
    return job


def _reopen_shards(shard_ids: Sequence[int]) -> None:
    """The token rises, so that a worker that still has such a shard in hand writes nothing more to it.

    A shard whose owner died stays as it is but for its counters: the next claim tells what it was doing.
    """
    orphans = Q(state=ShardState.RUNNING) & owner_is_dead("owner")
    kept = set(Shard.objects.filter(orphans, id__in=shard_ids).values_list("id", flat=True))
    taken = [shard_id for shard_id in shard_ids if shard_id not in kept]
    Item.objects.filter(shard_id__in=taken, state=ItemState.RUNNING).update(
        state=ItemState.PENDING, is_alone=False
    )
    failed = Item.objects.filter(shard_id__in=shard_ids, state=ItemState.FAILED)
    counts = dict(failed.values_list("shard_id").annotate(Count("id")))
    ItemOutput.objects.filter(item_id__in=failed.values("id")).delete()
    _reset(shard_ids)
    for shard_id, count in counts.items():
        Shard.objects.filter(id=shard_id).update(failed=F("failed") - count)
    Shard.objects.filter(id__in=taken).update(state=ShardState.QUEUED, owner=None, token=F("token") + 1)


def _reset(shard_ids: Sequence[int]) -> None:
    """Items as if new, but for `starts` and `interruptions`, which are history; the deadly ones run alone."""
    deadly = Case(
        When(deaths_alone__gt=0, then=Value(True)), default=Value(False), output_field=BooleanField()
    )
    Item.objects.filter(shard_id__in=shard_ids, state=ItemState.FAILED).update(
        state=ItemState.PENDING,
        is_suspect=deadly,
        deaths_alone=0,
        attempts=0,
        losses=0,
        cause="",
        error="",
        engine=None,
        node=None,
        model="",
        finished_ms=None,
        duration_ms=None,
        ttft_ms=None,
        prompt_tokens=None,
        completion_tokens=None,
    )
