"""Reads the past for rules: when one would have fired over what is kept, and what fills windows at a start."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

from alerts.judging import Ruled
from alerts.matching import Matcher, Place, is_in_scope
from alerts.preview import Episode, would_have_fired
from alerts.rules import RuleSpec
from alerts.samples import Samples
from alerts.states import Aggregation
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


@dataclass(frozen=True, slots=True)
class PastEpisode:
    """An alert that there would have been, and on what."""

    node: Node
    subject: str
    episode: Episode


def past_episodes(rule: RuleSpec, scopes: Collection[Matcher], *, days: int) -> list[PastEpisode]:
    """Over the last days, newest first, MOST_EPISODES at most; nothing for metrics that have no history."""
    if rule.metric not in METRICS:
        return []
    nodes = {node.id: node for node in live_nodes() if is_in_scope(_place(rule, node), scopes)}
    now, step_ms = now_ms(), FINE_MS if days <= FINE_DAYS else COARSE_MS
    times, found = fleet_window(
        node_ids=list(nodes), metrics=[rule.metric], from_ms=now - days * DAY_MS, to_ms=now, step_ms=step_ms
    )
    judged = _over_points(rule, times.step)
    episodes = [
        PastEpisode(nodes[node_id], figure.subject, episode)
        for node_id, figures in found.items()
        for figure, points in figures.items()
        for episode in would_have_fired(
            judged, [(at, point and point.mean) for at, point in zip(times, points, strict=True)]
        )
    ]
    episodes.sort(key=lambda one: one.episode.began_ms, reverse=True)
    return episodes[:MOST_EPISODES]


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
