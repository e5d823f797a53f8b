"""Reads of alerts: rules as the policy wants them, what stands, silences, and what others ask."""

from __future__ import annotations

from collections import defaultdict

from django.db.models import QuerySet

from alerts import metrics
from alerts.judging import Ruled, Stands
from alerts.matching import Matcher, SilenceSpec
from alerts.models import Alert, Rule, RuleScope, Silence
from alerts.rules import RuleSpec, Standing
from alerts.samples import Key
from alerts.states import OPEN, RAISED, Aggregation, AlertState, NoData, Operator, Severity
from dpl_site.lib.clock import utc_now


def firing_count() -> int:
    """How many alerts fire or recover now."""
    return Alert.objects.filter(state__in=RAISED).count()


def open_alerts() -> QuerySet[Alert]:
    """The alerts that are pending, firing or recovering, the newest first."""
    return Alert.objects.filter(state__in=OPEN).order_by("-id")


def rules_of(*, is_watch: bool) -> list[Ruled]:
    """The rules that are on: those of the controller, or those that web processes watch."""
    scopes = defaultdict(list)
    for scope in RuleScope.objects.order_by("id"):
        scopes[scope.rule_id].append(matcher_of(scope))
    rules = Rule.objects.filter(is_enabled=True)
    rules = (
        rules.filter(metric__in=metrics.OF_THE_WATCH)
        if is_watch
        else rules.exclude(metric__in=metrics.OF_THE_WATCH)
    )
    return [Ruled(spec_of(rule), tuple(scopes[rule.id])) for rule in rules if rule.metric in metrics.METRICS]


def spec_of(rule: Rule) -> RuleSpec:
    """A rule's row as the policy sees it."""
    return RuleSpec(
        id=rule.pk or 0,
        name=rule.name,
        metric=rule.metric,
        operator=Operator(rule.operator),
        fire_value=rule.fire_value,
        clear_value=rule.clear_value,
        aggregation=Aggregation(rule.aggregation),
        window_s=rule.window_s,
        for_s=rule.for_s,
        keep_s=rule.keep_s,
        severity=Severity(rule.severity),
        no_data=NoData(rule.no_data),
        repeat_s=rule.repeat_s,
        key=rule.key,
    )


def matcher_of(row: RuleScope | Silence) -> Matcher:
    """What a scope or a silence means."""
    rule_id = row.rule_id if isinstance(row, Silence) else None
    label = (row.label, row.label_value) if row.label else None
    return Matcher(rule_id, row.node_id, row.environment, label)


def standing_alerts(*, is_watch: bool) -> dict[Key, Stands]:
    """The alerts that have not ended, and those that are watched again, by what they are about.

    One whose rule was removed has a negative id in its place, which no rule has.
    """
    rows = Alert.objects.exclude(state=AlertState.RESOLVED)
    watched = tuple(metrics.OF_THE_WATCH)
    rows = rows.filter(metric__in=watched) if is_watch else rows.exclude(metric__in=watched)
    found: dict[Key, Stands] = {}
    columns = ("id", "rule_id", "node_id", "subject", "metric", "state", "state_ms")
    for alert_id, rule_id, node_id, subject, metric, state, state_ms in rows.values_list(*columns):
        key = (rule_id or -alert_id, node_id, subject)
        found[key] = Stands(alert_id, metric, Standing(AlertState(state), state_ms))
    return found


def silences_now() -> list[SilenceSpec]:
    """The silences that are in force."""
    now = utc_now()
    rows = Silence.objects.filter(starts_at__lte=now, ends_at__gt=now)
    return [
        SilenceSpec(
            row.pk,
            row.author,
            matcher_of(row),
            round(row.starts_at.timestamp() * 1000),
            round(row.ends_at.timestamp() * 1000),
        )
        for row in rows
    ]


def down_nodes() -> set[int]:
    """The nodes that an alert says are down."""
    states = (AlertState.PENDING, AlertState.FIRING)
    rows = Alert.objects.filter(state__in=states, metric__in=tuple(metrics.DOWN), node__isnull=False)
    return {node_id for node_id in rows.values_list("node_id", flat=True) if node_id is not None}
