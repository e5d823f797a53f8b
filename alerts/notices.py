"""The outbox: puts messages together from what stands in rows, hands them out to senders, notes what came of them."""

from __future__ import annotations

import logging
import random
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass

from django.conf import settings
from django.db import transaction
from django.db.models import Count, F

from alerts import metrics, selectors
from alerts.matching import Place, muted_by
from alerts.messages import Told, compose
from alerts.models import Alert, Channel, ChannelStatus, Delivery, DeliveryAttempt, Notice
from alerts.states import AlertState, DeliveryState, NoticeKind, Severity
from alerts.telling import Raised, ToldBefore, Verdict, Wants, must_go, pause_s, verdict_on
from dpl_site.lib.db import now_ms
from dpl_site.lib.messenger import SLACK_S, TIMEOUT_S, Outcome
from dpl_site.lib.prepared import AnyRow

CLAIM_MS = round((TIMEOUT_S + SLACK_S + 30) * 1000)
"""Longer than a try can take: a claim that is older belongs to a process that is gone."""
AT_ONCE = 4
HOUR_MS = 3_600_000
MOST_ALERTS = 2000
"""Alerts that are looked at in one go; the oldest first, so that none is forgotten."""

logger = logging.getLogger(__name__)

_TO_TELL = AnyRow(lambda: Alert.objects.filter(fired_ms__isnull=False, is_settled=False))
_QUEUED = AnyRow(lambda: Delivery.objects.filter(state=DeliveryState.QUEUED))


@dataclass(frozen=True, slots=True)
class Claimed:
    """A message that this process alone may send until its claim ends."""

    id: int
    token: int
    url: str
    title: str
    body: str
    kind: str


def put_together() -> int:
    """Make the messages that are due, each with what it tells of which alert; how many. In the caller's transaction.

    All of it follows from rows, so whoever is killed before the commit leaves it to be done again.
    """
    if not _TO_TELL.exists():
        return 0
    now = now_ms()
    alerts = list(
        Alert.objects.filter(fired_ms__isnull=False, is_settled=False)
        .select_related("rule", "node")
        .order_by("id")[:MOST_ALERTS]
    )
    _mute(alerts, now)
    channels = list(Channel.objects.filter(is_enabled=True).defer("url"))
    before, busy, lately = _before(alerts), _busy(), _lately(now)
    is_settled = dict.fromkeys((alert.id for alert in alerts), True)
    made = 0
    for channel in channels:
        due: list[tuple[Alert, Verdict]] = []
        wants = Wants(Severity(channel.least_severity), channel.tells_resolved)
        for alert in alerts:
            verdict = verdict_on(_raised(alert), before[channel.id, alert.id], wants, now)
            is_settled[alert.id] &= verdict.is_settled
            if verdict.kind is not None:
                due.append((alert, verdict))
        if must_go(
            (verdict.since_ms for _, verdict in due),
            wait_s=settings.DPL_NOTICE_WAIT_S,
            is_busy=channel.id in busy,
            lately=lately.get(channel.id, 0),
            most=settings.DPL_NOTICES_PER_HOUR,
            now_ms=now,
        ):
            _queue(channel, due, now)
            made += 1
    done = [alert.id for alert in alerts if alert.state == AlertState.RESOLVED and is_settled[alert.id]]
    Alert.objects.filter(id__in=done).update(is_settled=True)
    return made


def has_queued() -> bool:
    """Whether a message waits to be sent."""
    return _QUEUED.exists()


def claim() -> list[Claimed]:
    """Take messages whose time has come, each by one conditional update; give up those that are too old."""
    now = now_ms()
    waiting = Delivery.objects.filter(state=DeliveryState.QUEUED)
    for old in waiting.filter(expires_ms__lte=now, claimed_until_ms__lte=now).select_related("channel"):
        _end(old, DeliveryState.EXPIRED, now)
        logger.error("gave up a message to %s after %d tries", old.channel.name, old.attempts)
    waiting.filter(channel__is_enabled=False, claimed_until_ms__lte=now).update(
        state=DeliveryState.DROPPED, ended_ms=now
    )
    found = []
    due = waiting.filter(next_ms__lte=now, claimed_until_ms__lte=now).select_related("channel").order_by("id")
    for delivery in due[:AT_ONCE]:
        mine = waiting.filter(id=delivery.id, token=delivery.token, claimed_until_ms__lte=now)
        if mine.update(claimed_until_ms=now + CLAIM_MS, token=F("token") + 1):
            found.append(_claimed(delivery))
    return found


def record_outcome(*, claimed: Claimed, outcome: Outcome, took_ms: int) -> bool:
    """Note what came of a try; False when the claim was another's by then, and nothing is changed."""
    now = now_ms()
    with transaction.atomic():
        delivery = (
            Delivery.objects.select_for_update()
            .filter(id=claimed.id, token=claimed.token, state=DeliveryState.QUEUED)
            .first()
        )
        if delivery is None:
            logger.warning("a late outcome of message %d is not noted", claimed.id)
            return False
        delivery.attempts += 1
        delivery.claimed_until_ms = 0
        if outcome.is_ok:
            delivery.state, delivery.ended_ms = DeliveryState.SENT, now
        else:
            delivery.next_ms = now + round(pause_s(delivery.attempts, random.random()) * 1000)
        delivery.save(update_fields=["attempts", "claimed_until_ms", "state", "ended_ms", "next_ms"])
        DeliveryAttempt.objects.create(
            delivery=delivery, at_ms=now, is_ok=outcome.is_ok, error=outcome.error[:300], took_ms=took_ms
        )
        note_channel(channel_id=delivery.channel_id, outcome=outcome, at_ms=now)
    return True


def note_channel(*, channel_id: int, outcome: Outcome, at_ms: int) -> None:
    """How the channel does, after a message or a test."""
    status = ChannelStatus.objects.filter(channel_id=channel_id).first() or ChannelStatus(
        channel_id=channel_id
    )
    if outcome.is_ok:
        status.sent_ms, status.failing_since_ms, status.error = at_ms, None, ""
    else:
        status.failing_since_ms = status.failing_since_ms or at_ms
        status.error = outcome.error[:300]
    status.save()


def _raised(alert: Alert) -> Raised:
    return Raised(
        id=alert.id,
        state=AlertState(alert.state),
        severity=Severity(alert.severity),
        fired_ms=alert.fired_ms or 0,
        resolved_ms=alert.resolved_ms,
        repeat_s=alert.rule.repeat_s if alert.rule else 0,
        is_acknowledged=bool(alert.acknowledged_by),
        is_muted=bool(alert.muted_by),
    )


def _mute(alerts: Collection[Alert], now: int) -> None:
    """Note on each alert why nobody is told of it, where that changed."""
    silences, down = selectors.silences_now(), selectors.down_nodes()
    changed = []
    for alert in alerts:
        node = alert.node
        place = Place(
            alert.rule_id or 0,
            alert.node_id,
            node.environment if node else "",
            node.labels if node else {},
        )
        why = muted_by(
            place,
            is_of_the_node_itself=alert.metric in metrics.DOWN,
            silences=silences,
            down_nodes=down,
            now_ms=now,
        )[:200]
        if alert.muted_by != why:
            alert.muted_by = why
            changed.append(alert)
    Alert.objects.bulk_update(changed, ["muted_by"], batch_size=200)


def _before(alerts: Collection[Alert]) -> defaultdict[tuple[int, int], list[ToldBefore]]:
    found: defaultdict[tuple[int, int], list[ToldBefore]] = defaultdict(list)
    rows = Notice.objects.filter(alert__in=[alert.id for alert in alerts]).order_by("id")
    for channel_id, alert_id, kind, at_ms, state in rows.values_list(
        "channel_id", "alert_id", "kind", "at_ms", "delivery__state"
    ):
        found[channel_id, alert_id].append(ToldBefore(NoticeKind(kind), at_ms, DeliveryState(state)))
    return found


def _busy() -> set[int]:
    rows = Delivery.objects.filter(state=DeliveryState.QUEUED)
    return set(rows.values_list("channel_id", flat=True))


def _lately(now: int) -> dict[int, int]:
    rows = Delivery.objects.filter(created_ms__gt=now - HOUR_MS).order_by().values_list("channel_id")
    return dict(rows.annotate(Count("id")))


def _queue(channel: Channel, due: Collection[tuple[Alert, Verdict]], now: int) -> None:
    told = sorted(due, key=_rank)
    message = compose([_told(*one) for one in told], language=settings.DPL_NOTICE_LANGUAGE)
    delivery = Delivery.objects.create(
        channel=channel,
        title=message.title[:300],
        body=message.body,
        severity=message.severity,
        is_good_news=message.is_good_news,
        created_ms=now,
        next_ms=now,
        expires_ms=now + settings.DPL_NOTICE_EXPIRE_HOURS * HOUR_MS,
    )
    Notice.objects.bulk_create(
        Notice(
            delivery=delivery, channel=channel, alert=alert, kind=verdict.kind or NoticeKind.FIRING, at_ms=now
        )
        for alert, verdict in told
    )


def _rank(one: tuple[Alert, Verdict]) -> tuple[bool, int, int]:
    alert, verdict = one
    return verdict.kind is NoticeKind.RESOLVED, -Severity(alert.severity).rank, alert.id


def _told(alert: Alert, verdict: Verdict) -> Told:
    lasted_ms = (alert.resolved_ms or 0) - (alert.fired_ms or 0)
    return Told(
        kind=verdict.kind or NoticeKind.FIRING,
        rule_name=alert.rule_name,
        rule_key=alert.rule_key,
        severity=Severity(alert.severity),
        node_name=alert.node_name,
        subject_name=alert.subject_name,
        metric=alert.metric,
        value=alert.value,
        threshold=alert.threshold,
        reason=alert.reason,
        lasted_s=lasted_ms / 1000 if verdict.kind is NoticeKind.RESOLVED else None,
    )


_KINDS = {
    **{(severity, True): "success" for severity in Severity},
    (Severity.INFO, False): "info",
    (Severity.WARNING, False): "warning",
    (Severity.CRITICAL, False): "failure",
}


def _claimed(delivery: Delivery) -> Claimed:
    kind = _KINDS[Severity(delivery.severity), delivery.is_good_news]
    return Claimed(delivery.id, delivery.token + 1, delivery.channel.url, delivery.title, delivery.body, kind)


def _end(delivery: Delivery, state: DeliveryState, now: int) -> None:
    Delivery.objects.filter(id=delivery.id, token=delivery.token).update(state=state, ended_ms=now)
