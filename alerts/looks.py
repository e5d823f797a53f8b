"""The fleet at one moment, as rules are judged by it. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from alerts.matching import Place

Reading = tuple[int | None, str, float]
"""Node (None: of no node), subject, value."""


@dataclass(slots=True)
class Machine:
    """One node. `is_fresh`: what is measured on it is of now, so that what is missing is not there."""

    id: int
    name: str
    environment: str
    labels: Mapping[str, str]
    is_fresh: bool

    def place(self, rule_id: int) -> Place:
        """The node as matchers see it."""
        return Place(rule_id, self.id, self.environment, self.labels)


@dataclass(slots=True)
class Look:
    """The fleet now: its machines, every figure by metric, names of subjects.

    `gpus` are those that a node has, by name with their index; `known_gpus` those that it had lately, by name with
    when (epoch ms).
    """

    at_ms: int
    machines: dict[int, Machine] = field(default_factory=dict)
    readings: defaultdict[str, list[Reading]] = field(default_factory=lambda: defaultdict(list))
    names: dict[tuple[int | None, str], str] = field(default_factory=dict)
    details: dict[tuple[str, int | None], str] = field(default_factory=dict)
    gpus: dict[int, dict[str, int]] = field(default_factory=dict)
    known_gpus: dict[int, dict[str, int]] = field(default_factory=dict)

    def add(self, metric: str, value: float, *, node_id: int | None = None, subject: str = "") -> None:
        """One figure."""
        self.readings[metric].append((node_id, subject, value))
