"""What is kept of alerts for a limited time, in small steps: what ended, its events, messages, the audit."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db.models import Q, QuerySet
from django.utils import timezone

from alerts.models import Alert, AlertAudit, AlertEvent, Delivery, KnownGpus, Silence
from alerts.states import AlertState, DeliveryState
from dpl_site.lib.db import now_ms

MOST_AT_ONCE = 500
DAY_MS = 86_400_000


def prune_alerts() -> int:
    """Remove what is older than DPL_KEEP_ALERTS_DAYS, and the oldest events beyond the most that are kept."""
    removed = 0
    for rows in _old():
        some = list(rows.order_by("pk").values_list("pk", flat=True)[:MOST_AT_ONCE])
        if some:
            removed += rows.model._default_manager.filter(pk__in=some).delete()[0]
    return removed


def _old() -> Iterator[QuerySet[Any]]:
    days = settings.DPL_KEEP_ALERTS_DAYS
    oldest_ms = now_ms() - days * DAY_MS
    came_to_nothing = Q(state=AlertState.OK, state_ms__lt=now_ms() - DAY_MS)
    yield Alert.objects.filter(Q(state=AlertState.RESOLVED, state_ms__lt=oldest_ms) | came_to_nothing)
    newest = AlertEvent.objects.order_by("-id").values_list("id", flat=True)
    beyond = newest[settings.DPL_KEEP_ALERT_EVENTS_MOST : settings.DPL_KEEP_ALERT_EVENTS_MOST + 1]
    yield AlertEvent.objects.filter(Q(at_ms__lt=oldest_ms) | Q(id__lte=next(iter(beyond), 0)))
    # What a standing alert was told by must stay, or it would be told again.
    yield (
        Delivery.objects.filter(created_ms__lt=oldest_ms)
        .exclude(state=DeliveryState.QUEUED)
        .exclude(notices__alert__is_settled=False)
    )
    past = timezone.now() - timedelta(days=days)
    yield Silence.objects.filter(ends_at__lt=past)
    yield KnownGpus.objects.filter(node__archived_at__isnull=False)
    yield AlertAudit.objects.filter(at__lt=timezone.now() - timedelta(days=settings.DPL_KEEP_AUDIT_DAYS))
