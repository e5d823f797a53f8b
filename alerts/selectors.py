"""Reads of alerts: rules as the policy wants them, what stands, silences, and what others ask."""

from __future__ import annotations

from collections import defaultdict
from typing import Any, TypedDict

from django.db.models import Case, Count, IntegerField, OuterRef, QuerySet, Subquery, Value, When
from django.db.models.functions import Coalesce

from alerts import metrics
from alerts.judging import Ruled, Stands
from alerts.matching import Matcher, SilenceSpec
from alerts.models import Alert, AlertEvent, Channel, Delivery, Rule, RuleScope, Silence
from alerts.rules import RuleSpec, Standing
from alerts.samples import Key
from alerts.states import OPEN, RAISED, Aggregation, AlertState, NoData, Operator, Severity
from dpl_site.lib.clock import utc_now
from dpl_site.lib.prepared import Prepared

MOST_NEWS = 20
"""Of so many alerts that fire the ids are told with their number."""
_COLUMNS = (
    *("id", "name", "metric", "operator", "fire_value", "clear_value", "aggregation", "window_s", "for_s"),
    *("keep_s", "severity", "no_data", "repeat_s", "key"),
)
_RULES = Prepared(lambda: Rule.objects.filter(is_enabled=True).values_list(*_COLUMNS))
_SCOPES = Prepared(
    lambda: RuleScope.objects.order_by("id").values_list(
        "rule_id", "node_id", "environment", "label", "label_value"
    )
)
_STANDING = Prepared(
    lambda: Alert.objects.exclude(state=AlertState.RESOLVED).values_list(
        "id", "rule_id", "node_id", "subject", "metric", "state", "state_ms"
    )
)


def firing_count() -> int:
    """How many alerts fire or recover now."""
    return Alert.objects.filter(state__in=RAISED).count()


class Summary(TypedDict):
    """What stands, in a few numbers: `firing` counts those that recover too, `raised` are the newest of these.

    `version` rises with whatever happens to an alert.
    """

    firing: int
    pending: int
    worst: str | None
    raised: list[int]
    version: int


def summary() -> Summary:
    """What the bell on every page says."""
    counts = open_counts()
    firing = dict.fromkeys(Severity, 0) | _raised_by_severity(counts)
    raised = Alert.objects.filter(state__in=RAISED).order_by("-id").values_list("id", flat=True)
    newest = AlertEvent.objects.order_by("-id").values_list("id", flat=True).first()
    return {
        "firing": sum(firing.values()),
        "pending": sum(count for (_, state), count in counts.items() if state == AlertState.PENDING),
        "worst": next((one.value for one in reversed(Severity) if firing[one]), None),
        "raised": list(raised[:MOST_NEWS]) if any(firing.values()) else [],
        "version": newest or 0,
    }


def _raised_by_severity(counts: dict[tuple[str, str], int]) -> dict[Severity, int]:
    found: defaultdict[Severity, int] = defaultdict(int)
    for (severity, state), count in counts.items():
        if state in RAISED:
            found[Severity(severity)] += count
    return dict(found)


def with_notes(alerts: QuerySet[Alert]) -> QuerySet[Alert]:
    """The same, each with what was said when it was acknowledged, in `note`."""
    said = AlertEvent.objects.filter(alert=OuterRef("pk"), action="acknowledged").order_by("-id")
    return alerts.annotate(note=Coalesce(Subquery(said.values("reason")[:1]), Value("")))


def deliveries() -> QuerySet[Delivery]:
    """The messages, newest first, with their channels and tries."""
    found = Delivery.objects.select_related("channel").defer("channel__url")
    return found.prefetch_related("tries").order_by("-id")


def open_alerts() -> QuerySet[Alert]:
    """The alerts that are pending, firing or recovering, the newest first."""
    return Alert.objects.filter(state__in=OPEN).order_by("-id")


def alerts_of_node(node_id: int) -> QuerySet[Alert]:
    """The alerts of one node, the newest first; peaks that came to nothing are left out."""
    return Alert.objects.filter(node_id=node_id).exclude(state=AlertState.OK).order_by("-id")


def by_rank(alerts: QuerySet[Alert]) -> QuerySet[Alert]:
    """Firing before recovering before pending, the more severe first, then the newest."""
    states = {AlertState.FIRING: 0, AlertState.RECOVERING: 1, AlertState.PENDING: 2}
    return alerts.order_by(
        _ranked("state", {state.value: rank for state, rank in states.items()}),
        _ranked("severity", {one.value: -one.rank for one in Severity}),
        "-id",
    )


def _ranked(field: str, ranks: dict[str, int]) -> Case:
    whens = [When(**{field: value, "then": Value(rank)}) for value, rank in ranks.items()]
    return Case(*whens, default=Value(9), output_field=IntegerField())


def open_counts() -> dict[tuple[str, str], int]:
    """(severity, state) → how many alerts are not over."""
    rows = Alert.objects.filter(state__in=OPEN).order_by().values_list("severity", "state")
    return {(severity, state): count for severity, state, count in rows.annotate(Count("id"))}


def rules_of(*, is_watch: bool) -> list[Ruled]:
    """The rules that are on: those of the controller, or those that web processes watch."""
    scopes: defaultdict[int, list[Matcher]] = defaultdict(list)
    for rule_id, node_id, environment, label, label_value in _SCOPES.rows():
        scopes[rule_id].append(Matcher(None, node_id, environment, (label, label_value) if label else None))
    found = (_spec(*row) for row in _RULES.rows() if row[2] in metrics.METRICS)
    return [
        Ruled(spec, tuple(scopes[spec.id]))
        for spec in found
        if (spec.metric in metrics.OF_THE_WATCH) is is_watch
    ]


def spec_of(rule: Rule) -> RuleSpec:
    """A rule's row as the policy sees it; one that is not kept yet has the id 0."""
    return _spec(rule.pk or 0, *(getattr(rule, name) for name in _COLUMNS[1:]))


def _spec(
    rule_id: int, name: str, metric: str, operator: str, fire: float, clear: float, *more: Any
) -> RuleSpec:
    aggregation, window_s, for_s, keep_s, severity, no_data, repeat_s, key = more
    return RuleSpec(
        rule_id,
        name,
        metric,
        Operator(operator),
        fire,
        clear,
        Aggregation(aggregation),
        window_s,
        for_s,
        keep_s,
        Severity(severity),
        NoData(no_data),
        repeat_s,
        key,
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
    found: dict[Key, Stands] = {}
    for alert_id, rule_id, node_id, subject, metric, state, state_ms in _STANDING.rows():
        if (metric in metrics.OF_THE_WATCH) is is_watch:
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


def failing_channels() -> QuerySet[Channel]:
    """The channels in use that did not take the last message."""
    failing = Channel.objects.filter(is_enabled=True, status__failing_since_ms__isnull=False)
    return failing.select_related("status").defer("url").order_by("id")


def down_nodes() -> set[int]:
    """The nodes that an alert says are down."""
    states = (AlertState.PENDING, AlertState.FIRING)
    rows = Alert.objects.filter(state__in=states, metric__in=tuple(metrics.DOWN), node__isnull=False)
    return {node_id for node_id in rows.values_list("node_id", flat=True) if node_id is not None}
