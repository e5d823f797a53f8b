"""What people do to jobs: make, stop, resume, clean up. The only writers of a job's state besides its workers.

Each move is a conditional update along `states.JOB_MOVES`, raises the job's version and tells watchers in
the same transaction. Refusals are `Refused` with the HTTP status that a view answers.
"""

from __future__ import annotations

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from datasets.creation import job_create
from datasets.dryruns import endless_dry_runs, prune_dry_runs
from datasets.models import Job, Shard
from datasets.moves import STOPPABLE, job_by_id, move, reopen, tell
from datasets.reception import upload_from_chunks
from datasets.retries import job_retry_failed
from datasets.states import UNFINISHED, JobState, ShardState, StopMode
from datasets.uploads import prune_uploads
from dpl_site.lib.refusals import Refused
from inference.models import Slot
from inference.slots import BATCH, free_dead_leases
from nodes import locks
from nodes.instances import owner_is_dead

__all__ = [
    "cleanup_all",
    "job_create",
    "job_resume",
    "job_retry_failed",
    "job_stop",
    "prune_tries",
    "prune_uploads",
    "upload_from_chunks",
]


def job_stop(*, job_id: str, mode: str = StopMode.DRAIN) -> Job:
    """Stop a job: `drain` lets what runs finish, `abort` cuts it; what is done is kept in both.

    A job of which nothing runs is stopped at once. An abort hastens a drain; a job that has ended stays as
    it is. Raises Refused for an unknown job or mode.
    """
    if mode not in (StopMode.DRAIN, StopMode.ABORT):
        raise Refused(f"mode is {mode!r}; use drain or abort.", code="bad_mode", detail={"field": "mode"})
    with transaction.atomic():
        if not move(job_id, STOPPABLE, JobState.STOPPING, stop_mode=mode) and mode == StopMode.ABORT:
            _hasten(job_id)
        running = Shard.objects.filter(job_id=job_id, state=ShardState.RUNNING)
        if not running.exclude(owner_is_dead("owner")).exists():
            move(
                job_id,
                {JobState.STOPPING},
                JobState.STOPPED,
                stop_mode=StopMode.NONE,
                finished_at=timezone.now(),
            )
    return job_by_id(job_id)


def job_resume(*, job_id: str) -> Job:
    """Go on with a stopped or failed job where it stopped; one that is under way stays as it is.

    Raises Refused (409) while it is still stopping, and when every item is recorded.
    """
    with transaction.atomic():
        if reopen(job_id, {JobState.STOPPED, JobState.FAILED}):
            return job_by_id(job_id)
        job = job_by_id(job_id)
    if job.state == JobState.STOPPING:
        message = "This job is still stopping. Resume it when it has stopped."
        raise Refused(message, code="still_stopping", status=409)
    if job.state == JobState.COMPLETED:
        message = f"Nothing is left to resume: each of the {job.total} items is recorded. Failed ones can be retried."
        raise Refused(message, code="already_completed", status=409)
    return job


def prune_tries() -> int:
    """Remove dry runs that are older than DPL_KEEP_DRY_RUNS_HOURS, and stop those that never ended; how many went."""
    for job_id in endless_dry_runs():
        job_stop(job_id=job_id, mode=StopMode.ABORT)
    return prune_dry_runs()


def cleanup_all(*, actor: str) -> dict[str, int]:
    """Abort every unfinished job and free what jobs hold; results and persons' locks stay.

    `jobs` were aborted, `locks` of jobs were freed, `leases` are slots whose owner was gone, and those in
    which items ran: their drains let go of them as they see the abort, within a second.
    """
    job_ids = list(Job.objects.filter(state__in=UNFINISHED).values_list("id", flat=True))
    in_use = (
        Slot.objects.filter(work_class=BATCH, holder__isnull=False).exclude(owner_is_dead("holder")).count()
    )
    for job_id in job_ids:
        job_stop(job_id=job_id, mode=StopMode.ABORT)
    freed = sum(locks.release_job_locks(job_id=job_id, actor=actor) for job_id in locks.job_ids_with_locks())
    return {"jobs": len(job_ids), "leases": in_use + free_dead_leases(), "locks": freed}


def _hasten(job_id: str) -> None:
    draining = Job.objects.filter(id=job_id, state=JobState.STOPPING, stop_mode=StopMode.DRAIN)
    if draining.update(stop_mode=StopMode.ABORT, version=F("version") + 1):
        tell(job_id)
