"""Writes what became of alerts: steps with their events, acknowledgements, and the GPUs that nodes have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from alerts import validation
from alerts.judging import Step
from alerts.looks import Look
from alerts.metrics import METRICS
from alerts.models import MAX_SUBJECT, Alert, AlertAudit, AlertEvent, KnownGpus
from alerts.rules import fingerprint
from alerts.states import ALERT_MOVES, OPEN, AlertState
from dpl_site.lib.clock import utc_now
from dpl_site.lib.db import now_ms
from dpl_site.lib.refusals import Refused
from nodes import news
from nodes.measures import GPU

TOPIC = "alert"
SEEN_EVERY_MS = 3_600_000
"""How exactly it is kept when a GPU was last seen."""
_MOVED = (
    *("state", "state_ms", "began_ms", "fired_ms", "resolved_ms", "value", "threshold", "reason"),
    *("is_settled", "acknowledged_by", "acknowledged_at", "severity", "muted_by"),
)


def record_steps(*, steps: Sequence[Step], look: Look) -> None:
    """Write each step of an alert, with its event, at the look's instant. In one transaction with what it read."""
    if not steps:
        return
    with transaction.atomic():
        known = Alert.objects.in_bulk([step.alert_id for step in steps if step.alert_id is not None])
        begun: list[tuple[Alert, Step]] = []
        moved: list[tuple[Alert, Step]] = []
        for step in steps:
            if step.alert_id is None:
                begun.append((_new(step, look), step))
            elif step.alert_id in known:
                moved.append((_moved(known[step.alert_id], step, look), step))
        Alert.objects.bulk_create([alert for alert, _ in begun])
        Alert.objects.bulk_update([alert for alert, _ in moved], _MOVED, batch_size=200)
        AlertEvent.objects.bulk_create([_event(alert, step, look) for alert, step in (*begun, *moved)])
        news.publish(topic=TOPIC, object_id="tick")


def record_gpus(*, look: Look) -> None:
    """Keep which GPUs the nodes have, where that changed or was kept long ago."""
    changed = []
    for node_id, present in look.gpus.items():
        seen = look.known_gpus.get(node_id, {})
        if present and any(look.at_ms - seen.get(name, 0) > SEEN_EVERY_MS for name in present):
            changed.append(KnownGpus(node_id=node_id, seen={**seen, **dict.fromkeys(present, look.at_ms)}))
    if changed:
        KnownGpus.objects.bulk_create(
            changed, update_conflicts=True, unique_fields=["node"], update_fields=["seen"]
        )


def alert_acknowledge(*, alert_id: int, actor: str, note: str = "", is_undone: bool = False) -> Alert:
    """Note who has seen an alert (or, undone, that nobody has): no reminders of it. Raises Refused.

    `note` is what this person says about it; it stands with the event.
    """
    with transaction.atomic():
        alert = Alert.objects.select_for_update().filter(id=alert_id).first()
        if alert is None:
            raise Refused(_("There is no alert %(id)d.") % {"id": alert_id}, status=404)
        if alert.state not in OPEN:
            raise Refused(_("This alert has ended; there is nothing to acknowledge."), status=409)
        if bool(alert.acknowledged_by) is not is_undone:
            return alert
        alert.acknowledged_by = "" if is_undone else actor
        alert.acknowledged_at = None if is_undone else utc_now()
        alert.save(update_fields=["acknowledged_by", "acknowledged_at"])
        action = "unacknowledged" if is_undone else "acknowledged"
        note = validation.note(note)
        AlertEvent.objects.create(alert=alert, at_ms=now_ms(), action=action, actor=actor, reason=note)
        audit(
            actor=actor, action=f"alert {action}", subject=str(alert), detail={"note": note} if note else {}
        )
        news.publish(topic=TOPIC, object_id=alert.pk)
        return alert


def audit(*, actor: str, action: str, subject: str, detail: dict[str, Any] | None = None) -> None:
    """Note who did what; `detail` holds no secret."""
    AlertAudit.objects.create(
        actor=actor[:150], action=action[:30], subject=subject[:200], detail=detail or {}
    )


def _new(step: Step, look: Look) -> Alert:
    rule_id, node_id, subject = step.key
    machine = look.machines.get(node_id) if node_id is not None else None
    alert = Alert(
        rule_id=rule_id,
        rule_name=step.rule.name,
        rule_key=step.rule.key,
        node_id=node_id,
        node_name=machine.name if machine else "",
        subject=subject[:MAX_SUBJECT],
        subject_name=_subject_name(step, look)[:MAX_SUBJECT],
        fingerprint=fingerprint(rule_id, node_id, subject),
        metric=step.rule.metric,
        severity=step.rule.severity,
        began_ms=look.at_ms,
    )
    return _moved(alert, step, look)


def _subject_name(step: Step, look: Look) -> str:
    _, node_id, subject = step.key
    metric = METRICS.get(step.rule.metric)
    if subject and metric is not None and metric.per == GPU:
        return f"GPU {subject}"
    return look.names.get((node_id, subject), subject)


def _moved(alert: Alert, step: Step, look: Look) -> Alert:
    """The row after the step. Raises ValueError for one that no alert takes: a bug."""
    move = step.transition
    if move.new not in ALERT_MOVES[move.old]:
        raise ValueError(f"alert {alert.pk}: {move.old} → {move.new} is no step")
    if move.old is AlertState.OK:
        alert.began_ms, alert.fired_ms, alert.resolved_ms = look.at_ms, None, None
        alert.acknowledged_by, alert.acknowledged_at, alert.muted_by = "", None, ""
        alert.severity = step.rule.severity
    alert.state, alert.state_ms = move.new, look.at_ms
    alert.value, alert.threshold, alert.reason = move.value, move.threshold, _reason(step, look)
    if move.new is AlertState.FIRING and alert.fired_ms is None:
        alert.fired_ms, alert.is_settled = look.at_ms, False
    if move.new is AlertState.RESOLVED:
        alert.resolved_ms = look.at_ms
    return alert


def _reason(step: Step, look: Look) -> str:
    is_bad = step.transition.new in (AlertState.PENDING, AlertState.FIRING)
    detail = look.details.get((step.rule.metric, step.key[1])) if is_bad else None
    return f"{step.transition.reason}: {detail}"[:300] if detail else step.transition.reason[:300]


def _event(alert: Alert, step: Step, look: Look) -> AlertEvent:
    move = step.transition
    return AlertEvent(
        alert=alert,
        at_ms=look.at_ms,
        action="transition",
        old=move.old,
        new=move.new,
        value=move.value,
        threshold=move.threshold,
        duration_s=round(move.duration_s, 3),
        reason=alert.reason,
    )
