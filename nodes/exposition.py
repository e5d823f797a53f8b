"""Under which name, in which unit and with which labels Prometheus gets each figure of a node. Pure.

The names follow from the vocabulary (`nodes.measures`), in Prometheus' base units: ratios of 0 to 1, celsius,
bytes, bytes per second, watts, hertz. A figure that is added there is told here without another word.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from nodes.measures import FILESYSTEM, GPU, METRICS, NODE, Metric

_UNITS: Mapping[str, tuple[str, str, float]] = MappingProxyType(
    {
        "percent": ("_percent", "_ratio", 0.01),
        "celsius": ("_c", "_celsius", 1.0),
        "bytes": ("_bytes", "_bytes", 1.0),
        "watts": ("_w", "_watts", 1.0),
        "Mbps": ("_mbps", "_bytes_per_second", 125_000.0),
        "MB/s": ("_mb_s", "_bytes_per_second", 1_000_000.0),
        "MHz": ("_mhz", "_hertz", 1_000_000.0),
    }
)
"""Unit → the end of our name, the end of Prometheus', and by what our value is multiplied."""

SUBJECT_LABEL: Mapping[str, str] = MappingProxyType({GPU: "gpu", FILESYSTEM: "mount"})
"""The label that a figure's subject stands under, besides `node`."""


@dataclass(frozen=True, slots=True)
class Exposed:
    """A figure as Prometheus gets it: value there = value here × factor."""

    name: str
    metric: Metric
    factor: float
    labels: tuple[str, ...]
    text: str


def exposed(metric: Metric) -> Exposed:
    """How a figure of the vocabulary is told."""
    ours, theirs, factor = _UNITS.get(metric.unit, ("", "", 1.0))
    bare = metric.name.removesuffix(ours)
    prefix = "dpl_node_" if metric.per == NODE else "dpl_"
    label = SUBJECT_LABEL.get(metric.per)
    labels = ("node", label) if label else ("node",)
    where = {GPU: "Of each GPU", FILESYSTEM: "Of each filesystem"}.get(metric.per, "Of each node")
    return Exposed(f"{prefix}{bare}{theirs}", metric, factor, labels, f"{where}: {metric.name}.")


EXPOSED: Mapping[str, Exposed] = MappingProxyType({name: exposed(metric) for name, metric in METRICS.items()})
"""Our name → how it is told."""
BY_NAME: Mapping[str, Exposed] = MappingProxyType({one.name: one for one in EXPOSED.values()})
"""Prometheus' name → the same."""
