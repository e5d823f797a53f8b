"""What becomes of dry runs: they are left out of lists unless asked for, and removed after DPL_KEEP_DRY_RUNS_HOURS."""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.db.models import Q, QuerySet
from django.utils import timezone

from datasets.models import Job
from datasets.moves import ENDED
from datasets.states import UNFINISHED

MOST_AT_ONCE = 100


def dry_runs(jobs: QuerySet[Job]) -> QuerySet[Job]:
    """Those of the jobs that only tried a few rows."""
    return jobs.filter(options__dry_run=True)


def whole_runs(jobs: QuerySet[Job]) -> QuerySet[Job]:
    """Those of the jobs that are no dry runs; one that says nothing of it is none."""
    return jobs.filter(Q(options__dry_run=False) | Q(options__dry_run__isnull=True))


def prune_dry_runs() -> int:
    """Remove old dry runs that have ended, with their rows; how many."""
    ended = _old().filter(state__in=ENDED).order_by("id").values_list("id", flat=True)
    some = list(ended[:MOST_AT_ONCE])
    # The state once more: one that somebody resumed since stays.
    _, removed = Job.objects.filter(id__in=some, state__in=ENDED).delete() if some else (0, {})
    return removed.get(Job._meta.label, 0)


def endless_dry_runs() -> list[str]:
    """Ids of old dry runs that have not ended, such as those whose model never came."""
    return list(_old().filter(state__in=UNFINISHED).values_list("id", flat=True)[:MOST_AT_ONCE])


def _old() -> QuerySet[Job]:
    oldest = timezone.now() - timedelta(hours=settings.DPL_KEEP_DRY_RUNS_HOURS)
    return dry_runs(Job.objects.filter(created_at__lt=oldest))
