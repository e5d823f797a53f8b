"""How a job changes its state: conditional updates along `states.JOB_MOVES`, with a version and news for each."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db import connection
from django.db.models import F, Q

from datasets.models import Job
from datasets.states import JobState, StopMode, may_move
from datasets.waking import wake_importer, wake_workers
from dpl_site.lib.refusals import Refused
from nodes import news

STOPPABLE = frozenset({JobState.IMPORTING, JobState.QUEUED, JobState.RUNNING})
ENDED = frozenset({JobState.STOPPED, JobState.FAILED, JobState.COMPLETED})


def reopen(job_id: str, old: Iterable[JobState]) -> bool:
    """Make an ended job wait for workers, and for an importer where rows are missing; whether it was ended.

    To be called within a transaction.
    """
    fresh: dict[str, Any] = {"stop_mode": StopMode.NONE, "error": "", "finished_at": None}
    if move(job_id, old, JobState.IMPORTING, only=Q(imported__lt=F("total")), **fresh):
        wake_importer(job_id=job_id)
    elif not move(job_id, old, JobState.QUEUED, **fresh):
        return False
    wake_workers()
    return True


def move(
    job_id: str, old: Iterable[JobState], new: JobState, *, only: Q | None = None, **changes: Any
) -> bool:
    """Move a job from one of `old` to `new` where `states` allows it, and tell its watchers; whether it moved."""
    legal = [state for state in old if may_move(state, new)]
    jobs = Job.objects.filter(only or Q(), id=job_id, state__in=legal)
    moved = jobs.update(state=new, version=F("version") + 1, **changes)
    if moved:
        tell(job_id)
    return bool(moved)


def tell(job_id: str) -> None:
    """Let the watchers of a job know, with its version as it is now."""
    version = Job.objects.values_list("version", flat=True).get(id=job_id)
    news.publish(topic=news.JOB, object_id=job_id, version=version)


def job_by_id(job_id: str, *, for_update: bool = False) -> Job:
    """The job. Raises Refused (404) when there is none; `for_update` holds it where the database can."""
    jobs = Job.objects.filter(id=job_id)
    if for_update and connection.vendor == "postgresql":
        jobs = jobs.select_for_update()
    job = jobs.first()
    if job is None:
        raise unknown_job(job_id)
    return job


def unknown_job(job_id: str) -> Refused:
    """The refusal for a job that there is not, or that is another person's: nobody can tell which."""
    return Refused(f"There is no job {job_id[:60]!r}, or it is not yours.", code="unknown_job", status=404)
