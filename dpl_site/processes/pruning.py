"""What is kept for a limited time and then removed, each table in small transactions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Any

from axes.models import AccessAttempt, AccessLog
from django.conf import settings
from django.contrib.sessions.models import Session
from django.db.models import Model, QuerySet
from django.utils import timezone
from django_q.models import Task

from accounts.quotas import quotas_prune
from accounts.usage import usage_prune
from alerts.pruning import prune_alerts
from datasets.services import prune_tries, prune_uploads
from datasets.waking import prune_delivered
from inference.accounting import prune_metrics, prune_requests
from nodes import instances, joining, news
from nodes.history import prune_history
from nodes.models import LockAudit
from nodes.watching import watches_prune

MOST_AT_ONCE = 500
"""Rows that one transaction removes, so that no other writer waits long."""
KEEP_FAILED_TASKS = timedelta(days=7)


def prune_all() -> dict[str, int]:
    """Remove what is due from every table, up to the end; how many rows of each."""
    return {name: _until_done(prune) for name, prune in PRUNERS.items()}


def prune_events() -> int:
    """News that every watcher has read long ago."""
    return news.prune(older_than_ms=settings.DPL_KEEP_EVENTS_MINUTES * 60_000)


def prune_failed_tasks() -> int:
    """What django-q2 noted about wake-ups that failed; the log has it too."""
    return _delete_some(Task.objects.filter(stopped__lt=timezone.now() - KEEP_FAILED_TASKS))


def prune_audit() -> int:
    """What happened to locks, and who came in, longer ago than DPL_KEEP_AUDIT_DAYS."""
    oldest = timezone.now() - timedelta(days=settings.DPL_KEEP_AUDIT_DAYS)
    removed = _delete_some(LockAudit.objects.filter(at__lt=oldest))
    removed += _delete_some(AccessLog.objects.filter(attempt_time__lt=oldest))
    return removed + _delete_some(AccessAttempt.objects.filter(attempt_time__lt=oldest))


def prune_joins() -> int:
    """Who joined and who was invited to, longer ago than DPL_KEEP_AUDIT_DAYS."""
    return joining.prune(older_than_days=settings.DPL_KEEP_AUDIT_DAYS, most=MOST_AT_ONCE)


def prune_usage() -> int:
    """Sums of usage of days that are longer past than DPL_KEEP_USAGE_DAYS."""
    return usage_prune(older_than_days=settings.DPL_KEEP_USAGE_DAYS)


def prune_sessions() -> int:
    """Logins that have expired."""
    return _delete_some(Session.objects.filter(expire_date__lt=timezone.now()))


PRUNERS: Mapping[str, Callable[[], int]] = MappingProxyType(
    {
        "events": prune_events,
        "instances": instances.prune,
        "uploads": prune_uploads,
        "dry runs": prune_tries,
        "wake-ups": prune_delivered,
        "failed tasks": prune_failed_tasks,
        "audit": prune_audit,
        "joins": prune_joins,
        "sessions": prune_sessions,
        "requests": prune_requests,
        "usage": prune_usage,
        "limits": quotas_prune,
        "metrics": prune_metrics,
        "alerts": prune_alerts,
        "history": prune_history,
        "watches": watches_prune,
    }
)


def _delete_some(rows: QuerySet[Any]) -> int:
    model: type[Model] = rows.model
    some = list(rows.order_by("pk").values_list("pk", flat=True)[:MOST_AT_ONCE])
    return model._default_manager.filter(pk__in=some).delete()[0] if some else 0


def _until_done(prune: Callable[[], int]) -> int:
    total = 0
    while removed := prune():
        total += removed
    return total
