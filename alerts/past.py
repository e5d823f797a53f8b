"""Reads the past for rules: when one would have fired over what is kept, and what fills windows at a start."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from math import inf

from alerts.judging import Ruled
from alerts.matching import Matcher, Place, is_in_scope
from alerts.preview import Episode, would_have_fired
from alerts.rules import RuleSpec
from alerts.samples import Samples
from alerts.states import Aggregation, NoData
from dpl_site.lib.db import now_ms
from nodes.measures import METRICS
from nodes.models import Node
from nodes.selectors import live_nodes
from nodes.series import fleet_window, latest_of

DAY_MS = 86_400_000
FINE_DAYS = 2
"""So far back there is a point for each minute, and one for each ten minutes before."""
FINE_MS, COARSE_MS = 60_000, 600_000
MOST_EPISODES = 500
MOST_JUDGED = 300
"""Curves, each of a thousand points: a preview follows what somebody types, so it may take a second at most."""


@dataclass(frozen=True, slots=True)
class PastEpisode:
    """An alert that there would have been, and on what."""

    node: Node
    subject: str
    episode: Episode


@dataclass(frozen=True, slots=True)
class PastCurve:
    """One figure of a node as it was, and what a rule would have made of it."""

    node: Node
    subject: str
    values: list[float | None]
    episodes: list[Episode]

    def may_fire(self, rule: RuleSpec) -> bool:
        """Whether any value is one to fire at; no average, least or largest of others is."""
        return rule.no_data is NoData.ALERT or any(
            value is not None and rule.is_hot(value) for value in self.values
        )

    @property
    def fired(self) -> int:
        """How often."""
        return sum(one.fired_ms is not None for one in self.episodes)

    def worst(self, rule: RuleSpec) -> float:
        """How near to firing it came, or how far beyond: larger is worse."""
        known = [value for value in self.values if value is not None]
        if not known:
            return -inf
        return max(known) if rule.operator.looks_up else -min(known)


@dataclass(frozen=True, slots=True)
class Past:
    """What a rule looks at, as it was at these times (epoch ms)."""

    times: range
    curves: list[PastCurve]
    left_out: int = 0
    """How many of them were not judged, since there were too many that might have fired: the least bad."""

    def episodes(self) -> list[PastEpisode]:
        """The alerts that there would have been, newest first, MOST_EPISODES at most."""
        found = [PastEpisode(one.node, one.subject, each) for one in self.curves for each in one.episodes]
        found.sort(key=lambda one: one.episode.began_ms, reverse=True)
        return found[:MOST_EPISODES]

    def foremost(self, rule: RuleSpec, most: int) -> list[PastCurve]:
        """The curves that it would have fired most on, or came nearest to firing."""
        return sorted(self.curves, key=lambda one: (-one.fired, -one.worst(rule), one.node.name))[:most]


def past(rule: RuleSpec, scopes: Collection[Matcher], *, days: int) -> Past:
    """The last days of what a rule looks at; nothing for metrics that have no history."""
    now, step_ms = now_ms(), FINE_MS if days <= FINE_DAYS else COARSE_MS
    if rule.metric not in METRICS:
        return Past(range(0), [])
    nodes = {node.id: node for node in live_nodes() if is_in_scope(_place(rule, node), scopes)}
    times, found = fleet_window(
        node_ids=list(nodes), metrics=[rule.metric], from_ms=now - days * DAY_MS, to_ms=now, step_ms=step_ms
    )
    curves = [
        PastCurve(nodes[node_id], figure.subject, [point and point.mean for point in points], [])
        for node_id, figures in found.items()
        for figure, points in figures.items()
    ]
    return Past(times, curves, _judge(rule, times, curves))


def _judge(rule: RuleSpec, times: range, curves: Collection[PastCurve]) -> int:
    """Find the episodes of each; how many were left out."""
    over_points = _over_points(rule, times.step)
    hot = [one for one in curves if one.may_fire(rule)]
    hot.sort(key=lambda one: one.worst(rule), reverse=True)
    for one in hot[:MOST_JUDGED]:
        one.episodes.extend(would_have_fired(over_points, zip(times, one.values, strict=True)))
    return len(hot[MOST_JUDGED:])


def past_episodes(rule: RuleSpec, scopes: Collection[Matcher], *, days: int) -> list[PastEpisode]:
    """Over the last days, newest first, MOST_EPISODES at most; nothing for metrics that have no history."""
    return past(rule, scopes, days=days).episodes()


def refill(samples: Samples, rules: Sequence[Ruled]) -> None:
    """Fill the windows of these rules from the readings that are kept, so that a new controller need not wait."""
    specs = [ruled.spec for ruled in rules if _has_window(ruled.spec)]
    if not specs:
        return
    since_ms = now_ms() - 1000 * max(spec.window_s for spec in specs)
    node_ids = list(live_nodes().values_list("id", flat=True))
    kept = latest_of(node_ids=node_ids, metrics={spec.metric for spec in specs}, since_ms=since_ms)
    for spec in specs:
        for node_id, subject, points in _each(kept[spec.metric]):
            samples.refill(spec, (spec.id, node_id, subject), points)


def _has_window(spec: RuleSpec) -> bool:
    return spec.metric in METRICS and bool(spec.window_s) and spec.aggregation is not Aggregation.LAST


def _over_points(rule: RuleSpec, step_ms: int) -> RuleSpec:
    """A window that is no longer than a point's time is what the point is the mean of already."""
    if rule.window_s * 1000 > step_ms:
        return rule
    return replace(rule, window_s=0, aggregation=Aggregation.LAST)


def _each(
    nodes: dict[int, dict[str, list[tuple[int, float]]]],
) -> Iterator[tuple[int, str, list[tuple[int, float]]]]:
    for node_id, subjects in nodes.items():
        for subject, points in subjects.items():
            yield node_id, subject, points


def _place(rule: RuleSpec, node: Node) -> Place:
    return Place(rule.id, node.id, node.environment, node.labels)
