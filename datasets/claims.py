"""Claiming shards and giving them back: who works on what, and what a dead owner left behind.

A claim is one conditional UPDATE that raises the shard's token; the token proves it from then on.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection
from dataclasses import dataclass

from django.db import transaction
from django.db.models import Case, Count, Exists, F, OuterRef, Q, QuerySet, Value, When
from django.utils import timezone

from datasets.ledger import close_full_shards
from datasets.models import Item, Job, Shard
from datasets.planning import SUSPECT_DEATHS, Claimable, job_order
from datasets.states import WORKABLE, ItemState, JobState, ShardState
from dpl_site.lib.db import NowMs
from dpl_site.lib.packing import unpack
from nodes.instances import owner_is_dead


@dataclass(slots=True)
class Work:
    """One item to be run, with what the policies need to know of it."""

    item_id: int
    index: int
    shard_id: int
    raw: str
    attempts: int = 0
    losses: int = 0
    deaths_alone: int = 0
    is_suspect: bool = False


@dataclass(frozen=True, slots=True)
class Claim:
    """A shard that this process owns under `token`, with the items still to be run."""

    shard_id: int
    job_id: str
    token: int
    work: list[Work]


def claim_shard(
    *, instance_id: uuid.UUID, except_jobs: Collection[str] = (), only_jobs: Collection[str] | None = None
) -> Claim | None:
    """Claim one shard that nobody alive has, of the job whose turn it is; None when there is none.

    What its dead owner left running becomes pending and suspect; an item that a worker died of often enough
    while it ran alone is failed here.
    """
    for job_id in job_order(_claimable_jobs(except_jobs, only_jobs)):
        with transaction.atomic():
            shard = _take(job_id, instance_id)
            if shard is not None:
                _repair(shard)
                _start_job(job_id)
                return Claim(shard.id, job_id, shard.token, _work_of(shard.id))
    return None


def has_claimable() -> bool:
    """Whether any shard waits for a worker."""
    return _free_shards().filter(job__state__in=WORKABLE).exists()


def give_back(*, shard_id: int, token: int) -> bool:
    """Return a shard whose items are not all done; what ran goes back to pending. False when it was not ours."""
    with transaction.atomic():
        ours = Shard.objects.filter(id=shard_id, token=token, state=ShardState.RUNNING)
        if not ours.update(state=ShardState.QUEUED, owner=None, token=F("token") + 1):
            return False
        Item.objects.filter(shard_id=shard_id, state=ItemState.RUNNING).update(
            state=ItemState.PENDING, is_alone=False
        )
        return True


def _free_shards() -> QuerySet[Shard]:
    orphan = Q(state=ShardState.RUNNING) & owner_is_dead("owner")
    return Shard.objects.filter(Q(state=ShardState.QUEUED) | orphan)


def _claimable_jobs(except_jobs: Collection[str], only_jobs: Collection[str] | None) -> list[Claimable]:
    wanted = Job.objects.filter(state__in=WORKABLE).exclude(id__in=except_jobs)
    if only_jobs is not None:
        wanted = wanted.filter(id__in=only_jobs)
    jobs = (
        wanted.filter(Exists(_free_shards().filter(job_id=OuterRef("pk"))))
        .annotate(running=Count("shards", filter=Q(shards__state=ShardState.RUNNING)))
        .values_list("id", "running")
    )
    return [Claimable(job_id, running) for job_id, running in jobs]


def _take(job_id: str, instance_id: uuid.UUID) -> Shard | None:
    """One conditional UPDATE decides who gets the shard; the state is asked again in it."""
    candidates = _free_shards().filter(job_id=job_id, job__state__in=WORKABLE).order_by("index")
    # No join below: PostgreSQL asks a joined condition of an UPDATE only once, before it waits for the row.
    workable = Exists(Job.objects.filter(id=OuterRef("job_id"), state__in=WORKABLE))
    for shard_id, token in candidates.values_list("id", "token")[:4]:
        taken = _free_shards().filter(workable, id=shard_id, token=token)
        if taken.update(
            state=ShardState.RUNNING, owner_id=instance_id, token=F("token") + 1, claims=F("claims") + 1
        ):
            return Shard.objects.get(id=shard_id)
    return None


def _repair(shard: Shard) -> None:
    """What a dead owner left running: pending and suspect, counted; the deadly ones failed."""
    left = Item.objects.filter(shard=shard, state=ItemState.RUNNING)
    left.update(
        state=ItemState.PENDING,
        is_suspect=True,
        interruptions=F("interruptions") + 1,
        deaths_alone=F("deaths_alone") + Case(When(is_alone=True, then=Value(1)), default=Value(0)),
        is_alone=False,
    )
    deadly = Item.objects.filter(
        shard=shard, state=ItemState.PENDING, is_suspect=True, deaths_alone__gte=SUSPECT_DEATHS
    ).update(
        state=ItemState.FAILED,
        cause="worker_died",
        error=f"a worker died {SUSPECT_DEATHS} times while only this item was running in it",
        finished_ms=NowMs(),
    )
    if deadly:
        Shard.objects.filter(id=shard.id).update(failed=F("failed") + deadly)
        close_full_shards([shard.id])


def _start_job(job_id: str) -> None:
    Job.objects.filter(id=job_id, state__in=[JobState.QUEUED, JobState.IMPORTING]).filter(
        Q(state=JobState.QUEUED) | Q(imported=F("total"))
    ).update(state=JobState.RUNNING, version=F("version") + 1)
    Job.objects.filter(id=job_id, started_at__isnull=True).update(started_at=timezone.now())


def _work_of(shard_id: int) -> list[Work]:
    rows = (
        Item.objects.filter(shard_id=shard_id, state=ItemState.PENDING)
        .order_by("index")
        .values_list(
            "id", "index", "attempts", "losses", "deaths_alone", "is_suspect", "input__text", "input__packed"
        )
    )
    return [
        Work(item_id, index, shard_id, unpack(text, packed), attempts, losses, deaths, suspect)
        for item_id, index, attempts, losses, deaths, suspect, text, packed in rows
    ]
