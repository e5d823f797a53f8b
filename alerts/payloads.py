"""How alerts, rules, silences and channels are told to clients: dicts, the same everywhere."""

from __future__ import annotations

from typing import TypedDict

from alerts.defaults import shown_name
from alerts.models import Alert, AlertEvent, Channel, Rule, Silence
from dpl_site.lib.clock import iso, iso_ms


class NodeRef(TypedDict):
    """A node by id and name."""

    id: int
    name: str


class AlertView(TypedDict):
    """An alert, as `GET /api/alerts` has it."""

    id: int
    rule: str
    severity: str
    state: str
    node: NodeRef | None
    subject: str
    metric: str
    value: float | None
    threshold: float
    since: str | None
    message: str
    acknowledged_by: str | None


def alert_view(alert: Alert) -> AlertView:
    """An alert as the contract has it; `since` is when its condition began to hold."""
    return {
        "id": alert.pk,
        "rule": shown_name(alert.rule_key, alert.rule_name),
        "severity": alert.severity,
        "state": alert.state,
        "node": {"id": alert.node_id, "name": alert.node_name} if alert.node_id is not None else None,
        "subject": alert.subject_name,
        "metric": alert.metric,
        "value": alert.value,
        "threshold": alert.threshold,
        "since": iso_ms(alert.began_ms),
        "message": message_of(alert),
        "acknowledged_by": alert.acknowledged_by or None,
    }


def alert_detail(alert: Alert) -> dict[str, object]:
    """The same with its instants, and why nobody is told of it where that is so."""
    ended = alert.resolved_ms
    return {
        **alert_view(alert),
        "rule_id": alert.rule_id,
        "state_since": iso_ms(alert.state_ms),
        "fired_at": iso_ms(alert.fired_ms),
        "resolved_at": iso_ms(ended),
        "duration_s": (ended - alert.fired_ms) / 1000 if ended and alert.fired_ms else None,
        "muted_by": alert.muted_by or None,
        "acknowledged_at": iso(alert.acknowledged_at),
        "acknowledged_note": (getattr(alert, "note", "") if alert.acknowledged_by else "") or None,
    }


def message_of(alert: Alert) -> str:
    """What is wrong, in a sentence's worth of words."""
    where = " ".join(part for part in (alert.node_name, alert.subject_name) if part)
    what = shown_name(alert.rule_key, alert.rule_name)
    return f"{what}{f' on {where}' if where else ''}: {alert.reason}"


def event_view(event: AlertEvent) -> dict[str, object]:
    """One step of an alert."""
    return {
        "id": event.pk,
        "alert": event.alert_id,
        "at": iso_ms(event.at_ms),
        "action": event.action,
        "from": event.old or None,
        "to": event.new or None,
        "value": event.value,
        "threshold": event.threshold,
        "duration_s": event.duration_s,
        "reason": event.reason,
        "actor": event.actor or None,
    }


def rule_view(rule: Rule) -> dict[str, object]:
    """A rule with its scopes."""
    plain = ("metric", "aggregation", "window_s", "operator", "fire_value", "clear_value", "for_s", "keep_s")
    return {
        "id": rule.pk,
        "key": rule.key or None,
        "name": shown_name(rule.key, rule.name),
        "enabled": rule.is_enabled,
        **{field: getattr(rule, field) for field in plain},
        "severity": rule.severity,
        "no_data": rule.no_data,
        "repeat_s": rule.repeat_s,
        "scopes": [
            {
                "node": scope.node_id,
                "environment": scope.environment,
                "label": scope.label,
                "label_value": scope.label_value,
            }
            for scope in rule.scopes.all()
        ],
    }


def silence_view(silence: Silence) -> dict[str, object]:
    """A silence."""
    plain = ("environment", "label", "label_value", "author", "comment")
    return {
        "id": silence.pk,
        "rule": silence.rule_id,
        "node": silence.node_id,
        **{field: getattr(silence, field) for field in plain},
        "starts_at": iso(silence.starts_at),
        "ends_at": iso(silence.ends_at),
        "ended_by": silence.ended_by or None,
    }


def channel_view(channel: Channel) -> dict[str, object]:
    """A channel, without its address: that holds secrets."""
    status = getattr(channel, "status", None)
    return {
        "id": channel.pk,
        "name": channel.name,
        "kind": channel.kind,
        "has_url": bool(channel.url),
        "enabled": channel.is_enabled,
        "least_severity": channel.least_severity,
        "tells_resolved": channel.tells_resolved,
        "sent_at": iso_ms(status.sent_ms) if status else None,
        "failing_since": iso_ms(status.failing_since_ms) if status else None,
        "error": (status.error if status else "") or None,
    }
