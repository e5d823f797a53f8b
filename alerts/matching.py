"""Decides which rules look at what, and which alerts nobody is told of: scopes, silences, nodes that are down. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Place:
    """Where an alert is: its rule, and the node with its environment and labels (no node: None and empty)."""

    rule_id: int
    node_id: int | None = None
    environment: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Matcher:
    """What is meant: each field that is given must fit; `label` is (name, value), an empty value fits any."""

    rule_id: int | None = None
    node_id: int | None = None
    environment: str = ""
    label: tuple[str, str] | None = None

    def fits(self, place: Place) -> bool:
        """Whether the place is meant. A matcher without a field means everything."""
        if self.rule_id is not None and self.rule_id != place.rule_id:
            return False
        if self.node_id is not None and self.node_id != place.node_id:
            return False
        if self.environment and self.environment != place.environment:
            return False
        if self.label is None:
            return True
        name, wanted = self.label
        return name in place.labels and wanted in ("", place.labels[name])


@dataclass(frozen=True, slots=True)
class SilenceSpec:
    """A silence as the policy sees it: from `starts_ms` until `ends_ms`."""

    id: int
    author: str
    matcher: Matcher
    starts_ms: int
    ends_ms: int


def is_in_scope(place: Place, scopes: Collection[Matcher]) -> bool:
    """Whether a rule looks at this place: one of its scopes fits, or it has none."""
    return not scopes or any(scope.fits(place) for scope in scopes)


def muted_by(
    place: Place,
    *,
    is_of_the_node_itself: bool,
    silences: Iterable[SilenceSpec],
    down_nodes: Collection[int],
    now_ms: int,
) -> str:
    """Why nobody is told of an alert here now, in words; empty when they are.

    `down_nodes` are those with a standing alert that they are down; `is_of_the_node_itself`: this is such an
    alert.
    """
    for silence in silences:
        if silence.starts_ms <= now_ms < silence.ends_ms and silence.matcher.fits(place):
            return f"silence {silence.id} of {silence.author}"
    if place.node_id in down_nodes and not is_of_the_node_itself:
        return "its node is down"
    return ""
