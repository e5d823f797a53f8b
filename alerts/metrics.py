"""Which figures a rule may watch: those of nodes' readings, and those of the fleet that no reading has. Pure."""

from __future__ import annotations

from nodes.measures import METRICS as OF_READINGS
from nodes.measures import NODE, Metric

ENGINE, JOB, SITE = "engine", "job", "site"
"""What has a figure, besides those of `nodes.measures`: an engine of a node, a job, the installation."""

NODE_UP, AGENT_UP, ENGINE_UP = "node_up", "agent_up", "engine_up"
RESIDENT_MODELS = "resident_models"
GPU_COUNT, GPUS_LOST, GPU_THROTTLED = "gpu_count", "gpus_lost", "gpu_throttled"
GPU_ECC_UNCORRECTED = "gpu_ecc_uncorrected"
CLOCK_SKEW_S = "clock_skew_s"
QUEUE_WAITING, JOB_FAILED_SHARE = "queue_waiting", "job_failed_share"
WORKERS, CONTROLLER_AGE_S = "workers", "controller_age_s"

_OF_THE_FLEET = (
    Metric(NODE_UP, ""),
    Metric(AGENT_UP, ""),
    Metric(ENGINE_UP, "", ENGINE),
    Metric(RESIDENT_MODELS, ""),
    Metric(GPU_COUNT, ""),
    Metric(GPUS_LOST, ""),
    Metric(GPU_THROTTLED, "", "gpu"),
    Metric(GPU_ECC_UNCORRECTED, "", "gpu"),
    Metric(CLOCK_SKEW_S, "seconds"),
    Metric(QUEUE_WAITING, "", SITE),
    Metric(JOB_FAILED_SHARE, "percent", JOB),
    Metric(WORKERS, "", SITE),
    Metric(CONTROLLER_AGE_S, "seconds", SITE),
)
METRICS = {**OF_READINGS, **{metric.name: metric for metric in _OF_THE_FLEET}}
"""Every metric that a rule may name."""

SWITCHES = frozenset({NODE_UP, AGENT_UP, ENGINE_UP, GPU_THROTTLED})
"""Figures that are 0 or 1."""
OF_THE_SITE = frozenset(name for name, metric in METRICS.items() if metric.per in (JOB, SITE))
"""Figures that belong to no node."""
OF_THE_WATCH = frozenset({CONTROLLER_AGE_S})
"""Figures that the controller cannot tell of itself: web processes watch them (docs/why/alerts.md)."""
DOWN = frozenset({NODE_UP})
"""A node on which an alert of one of these stands is down: what follows from that is not told of."""

_WORDS = {
    NODE_UP: ("down", "up"),
    AGENT_UP: ("silent", "answers"),
    ENGINE_UP: ("down", "up"),
    GPU_THROTTLED: ("not throttled", "throttled"),
}
_SYMBOLS = {"percent": " %", "celsius": " °C", "watts": " W", "seconds": " s"}


def is_of_nodes(metric: str) -> bool:
    """Whether nodes have this figure, or something on them has."""
    return metric not in OF_THE_SITE


def is_of_one_per_node(metric: str) -> bool:
    """Whether each node has exactly one of it."""
    return METRICS[metric].per == NODE


def shown(metric: str, value: float | None) -> str:
    """A value for people: `93 °C`, `down`; a dash where there is none."""
    if value is None:
        return "–"
    if metric in _WORDS:
        return _WORDS[metric][value >= 1]
    unit = METRICS[metric].unit if metric in METRICS else ""
    if unit == "bytes":
        return f"{value / 2**30:.1f} GiB"
    return f"{_figure(value)}{_SYMBOLS.get(unit, f' {unit}' if unit else '')}"


def _figure(value: float) -> str:
    """Four digits, and never fewer than the whole number has."""
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.4g}"
