"""The nodes for Prometheus: state, lock, clock, and every figure of their latest readings; two queries."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from dpl_site.lib.prometheus import RowsCollector, gauges
from nodes.exposition import EXPOSED
from nodes.latest import Latest, latest
from nodes.measures import figures
from nodes.payloads import Gpu, Status
from nodes.selectors import standing_locks
from nodes.states import NodeState

_WORKING = (NodeState.ONLINE, NodeState.DEGRADED)
_NODE, _GPU = ("node",), ("node", "gpu")


class NodeCollector(RowsCollector):
    """The rows of nodes as metric families. A node whose agent tells nothing now has no figures."""

    def collect(self) -> Iterator[Metric]:
        """Every family, read now."""
        nodes = latest()
        told = [(one.node.name, one.reading) for one in nodes if one.reading is not None]
        yield from _states(nodes)
        yield from _figures(told)
        yield from _totals(told)
        yield from _gpus(told)


def _states(nodes: Sequence[Latest]) -> Iterator[GaugeMetricFamily]:
    locked = standing_locks()
    states = [(one, one.status.state if one.status else NodeState.UNKNOWN.value) for one in nodes]
    yield gauges(
        *("dpl_node_up", "1 where a node is online or degraded.", _NODE),
        [((one.node.name,), float(state in _WORKING)) for one, state in states],
    )
    yield gauges(
        *("dpl_node_state", "1 for the state that a node is in.", ("node", "state")),
        [((one.node.name, each.value), float(state == each)) for one, state in states for each in NodeState],
    )
    yield gauges(
        *("dpl_node_locked", "1 where a person, a job or an agent holds a lock.", _NODE),
        [((one.node.name,), float(one.node.id in locked)) for one in nodes],
    )
    yield gauges(
        *("dpl_node_reading_age_seconds", "How long ago a node's agent told something last.", _NODE),
        [((one.node.name,), one.age_s) for one in nodes if one.age_s is not None],
    )
    skews = [(one.node.name, one.status.clock_skew_s) for one in nodes if one.status]
    yield gauges(
        *("dpl_node_clock_skew_seconds", "How far a node's clock is ahead of ours.", _NODE),
        [((name,), skew) for name, skew in skews if skew is not None],
    )


def _figures(told: Sequence[tuple[str, Status]]) -> Iterator[GaugeMetricFamily]:
    """What the vocabulary names, each under its name for Prometheus."""
    found: dict[str, list[tuple[tuple[str, ...], float]]] = defaultdict(list)
    for name, reading in told:
        for figure, value in figures(reading).items():
            labels = (name, figure.subject) if figure.subject else (name,)
            found[figure.metric].append((labels, value))
    for metric, one in EXPOSED.items():
        samples = ((labels, value * one.factor) for labels, value in found[metric])
        yield gauges(one.name, one.text, one.labels, samples)


def _totals(told: Sequence[tuple[str, Status]]) -> Iterator[GaugeMetricFamily]:
    yield gauges(
        *("dpl_node_memory_total_bytes", "Memory of a node.", _NODE),
        [((name,), total) for name, one in told if (total := one["memory"]["total_bytes"]) is not None],
    )
    yield gauges(
        *("dpl_node_cpu_cores", "Logical cores of a node.", _NODE),
        [((name,), cores) for name, one in told if (cores := one["cpu"]["logical_cores"]) is not None],
    )
    yield gauges(
        *("dpl_node_uptime_seconds", "How long a node has been up.", _NODE),
        [((name,), uptime) for name, one in told if (uptime := one["uptime_s"]) is not None],
    )
    yield gauges(
        *(
            "dpl_node_agent_info",
            "1, with the version of a node's agent and its system.",
            ("node", "version", "os"),
        ),
        [((name, one["agent_version"], one["os"] or ""), 1.0) for name, one in told],
    )


def _gpus(told: Sequence[tuple[str, Status]]) -> Iterator[GaugeMetricFamily]:
    gpus = [
        ((name, str(gpu["index"])), gpu)
        for name, one in told
        for gpu in one["gpus"]
        if gpu["index"] is not None
    ]
    yield gauges(
        *("dpl_gpu_info", "1, with what a GPU is.", ("node", "gpu", "name", "vendor")),
        [((*place, gpu["name"] or "", gpu["vendor"] or ""), 1.0) for place, gpu in _once(gpus)],
    )
    yield gauges(
        *("dpl_gpu_memory_total_bytes", "Memory of a GPU.", _GPU),
        [(place, total) for place, gpu in _once(gpus) if (total := gpu["memory_total_bytes"]) is not None],
    )
    yield gauges(
        *("dpl_gpu_power_limit_watts", "How much power a GPU may take.", _GPU),
        [(place, limit) for place, gpu in _once(gpus) if (limit := gpu["power_limit_w"]) is not None],
    )
    yield gauges(
        *("dpl_gpu_processes", "Processes that hold memory of a GPU.", _GPU),
        [(place, float(len(gpu["processes"]))) for place, gpu in _once(gpus)],
    )


def _once(gpus: Sequence[tuple[tuple[str, str], Gpu]]) -> Iterator[tuple[tuple[str, str], Gpu]]:
    """Each place once, since a series that comes twice makes the whole scrape fail; the last one told counts."""
    yield from dict(gpus).items()
