"""Puts jobs right from rows alone: finishes, stops, wakes, locks. Run by the leading controller each second.

Guarantee: whatever was killed, every unfinished job moves on as long as this runs somewhere. It writes Job
rows and job locks only; what it does twice does no harm, so kill -9 at any point is repaired by the next run.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from django.db.models import Count, F, Q
from django.utils import timezone

from datasets.claims import has_claimable
from datasets.ledger import finish_job
from datasets.models import Job, Shard
from datasets.options import JobOptions
from datasets.states import UNFINISHED, ItemState, JobState, ShardState, StopMode
from datasets.waking import wake_importer, wake_workers
from inference.models import Engine
from inference.selectors import busy_slots, standing_locks
from nodes import locks, news
from nodes.instances import owner_is_dead

JOB_LOCK_TTL_S = 30.0

logger = logging.getLogger(__name__)


def reconcile() -> None:
    """One round over all unfinished jobs; a few cheap reads when there are none."""
    jobs = list(Job.objects.filter(state__in=UNFINISHED).order_by("id"))
    for job in jobs:
        _import(job)
        if job.state == JobState.STOPPING:
            _stop(job)
        finish_job(job_id=job.id)
    _hold_exclusive_nodes(jobs)
    _release_finished_locks()
    if jobs and has_claimable():
        wake_workers()


def _import(job: Job) -> None:
    """Call an importer when rows are missing and nobody alive writes them."""
    if job.imported >= job.total:
        return
    if Job.objects.filter(id=job.id).filter(owner_is_dead("importer")).exists():
        wake_importer(job_id=job.id)


def _stop(job: Job) -> None:
    """A stopping job is stopped when no living process has a shard of it."""
    held = Shard.objects.filter(job=job, state=ShardState.RUNNING).exclude(owner_is_dead("owner"))
    if held.exists():
        return
    if Job.objects.filter(id=job.id, state=JobState.STOPPING).update(
        state=JobState.STOPPED, stop_mode=StopMode.NONE, finished_at=timezone.now(), version=F("version") + 1
    ):
        news.publish(topic=news.JOB, object_id=job.id)


def _hold_exclusive_nodes(jobs: Sequence[Job]) -> None:
    """Lock nodes for exclusive jobs, one by one as they become free, and renew while the job runs.

    A job never waits for one node while it holds another: it works with what it has.
    """
    wishes = [(job, JobOptions.from_json(job.options)) for job in jobs]
    exclusive = [(job, options) for job, options in wishes if options.exclusive]
    if not exclusive:
        return
    standing, busy = standing_locks(), busy_slots()
    for job, options in exclusive:
        for node_id in _eligible_nodes(options):
            _hold(job, node_id, standing, busy)


def _hold(job: Job, node_id: int, standing: dict[int, str], busy: dict[int, int]) -> None:
    holder = standing.get(node_id, "")
    if holder == f"job:{job.id}":
        locks.renew_lock(node_id=node_id, job_id=job.id, ttl_s=JOB_LOCK_TTL_S)
    elif not holder and not busy.get(node_id) and job.state != JobState.STOPPING:
        try:
            locks.lock_node(
                node_id=node_id,
                by="job",
                owner=job.name,
                job_id=job.id,
                reason="exclusive dataset job",
                ttl_s=JOB_LOCK_TTL_S,
                actor="controller",
            )
        except locks.AlreadyLocked as other:
            logger.info("node %s stays with its lock: %s", node_id, other, extra={"action": "lock_refused"})
        else:
            standing[node_id] = f"job:{job.id}"


def _eligible_nodes(options: JobOptions) -> list[int]:
    engines = Engine.objects.filter(
        archived_at__isnull=True, is_enabled=True, node__archived_at__isnull=True, status__is_online=True
    )
    if options.nodes:
        engines = engines.filter(node_id__in=options.nodes)
    return sorted(set(engines.values_list("node_id", flat=True)))


def _release_finished_locks() -> None:
    """Free the nodes of jobs that run no more."""
    for job_id in set(locks.job_ids_with_locks()):
        if not Job.objects.filter(id=job_id, state__in=UNFINISHED).exists():
            locks.release_job_locks(job_id=job_id, actor="controller")


def counters_that_disagree() -> list[int]:
    """Ids of shards whose counters differ from their items' states: always none; `doctor` and the tests look."""
    succeeded = Count("items", filter=Q(items__state=ItemState.SUCCEEDED))
    failed = Count("items", filter=Q(items__state=ItemState.FAILED))
    shards = Shard.objects.annotate(really_succeeded=succeeded, really_failed=failed)
    wrong = shards.exclude(succeeded=F("really_succeeded"), failed=F("really_failed"))
    return list(wrong.values_list("id", flat=True))
