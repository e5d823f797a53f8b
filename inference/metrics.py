"""The gateway's numbers for Prometheus, of all processes together; `dpl_site.metrics` tells them.

They are read from rows at each scrape, so that whichever process answers tells the same: counters are sums that
every process raises, what is in hand now stands in one row per living process.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric

from dpl_site.lib.prometheus import RowsCollector
from inference import metering
from inference.metering import BOUNDS, SUM
from inference.models import EngineStatus, GatewayCounter, GatewayProcess
from inference.targets import live_engines
from nodes.instances import owner_is_dead

_PLACE = ("model", "node")
_COUNTERS = (
    (metering.REQUESTS, "Requests that came to their end.", "outcome"),
    (metering.TOKENS, "Tokens read (prompt) and written (completion).", "kind"),
    (metering.FAILOVERS, "Tries that failed and sent the request to another engine.", ""),
    (metering.CANCELS, "Requests whose client left.", ""),
)
_HISTOGRAMS = (
    (metering.TTFT, "From a request's arrival to the first part of its streamed answer."),
    (metering.DURATION, "From a request's arrival to its end."),
)


class GatewayCollector(RowsCollector):
    """The rows as metric families."""

    def collect(self) -> Iterator[Metric]:
        """Every family, read now."""
        rows = _rows()
        for name, text, label in _COUNTERS:
            labels = [*_PLACE, label] if label else [*_PLACE]
            counter = CounterMetricFamily(f"dpl_gateway_{name}", text, labels=labels)
            for (model, node), values in rows[name].items():
                for told, value in values.items():
                    counter.add_metric([model, node, told] if label else [model, node], value)
            yield counter
        for name, text in _HISTOGRAMS:
            yield _histogram(name, text, rows[name])
        yield from _now()


_Values = dict[tuple[str, str], dict[str, float]]


def _rows() -> defaultdict[str, _Values]:
    """By name, then by model and node, the value of each label."""
    rows: defaultdict[str, _Values] = defaultdict(dict)
    found = GatewayCounter.objects.order_by("model", "node", "label")
    for name, model, node, label, value in found.values_list("name", "model", "node", "label", "value"):
        rows[name].setdefault((model, node), {})[label] = value
    return rows


def _histogram(name: str, text: str, rows: _Values) -> HistogramMetricFamily:
    family = HistogramMetricFamily(f"dpl_gateway_{name}", text, labels=[*_PLACE])
    for place, values in rows.items():
        total, buckets = 0.0, []
        for bound in BOUNDS:
            total += values.get(bound, 0.0)
            buckets.append((bound, total))
        family.add_metric([*place], buckets, values.get(SUM, 0.0))
    return family


def _now() -> Iterator[GaugeMetricFamily]:
    """What waits and runs in living processes, and which breakers are open."""
    processes = GatewayProcess.objects.exclude(owner_is_dead("instance"))
    engines = dict(live_engines().values_list("id", "node__name"))
    waiting, in_flight = 0, Counter(dict.fromkeys(engines.values(), 0))
    for process in processes:
        waiting += process.waiting
        for engine_id, count in process.in_flight.items():
            if node := engines.get(int(engine_id)):
                in_flight[node] += count
    yield GaugeMetricFamily("dpl_gateway_waiting", "Requests that wait for a slot.", value=waiting)
    yield _by_node("in_flight", "Requests in engines.", in_flight)
    opened = EngineStatus.objects.filter(breaker_open_ms__isnull=False).values_list("engine_id", flat=True)
    is_open = Counter(dict.fromkeys(engines.values(), 0))
    is_open.update({engines[one] for one in opened if one in engines})
    yield _by_node("breaker_open", "1 where the breaker of an engine is open.", is_open)


def _by_node(name: str, text: str, values: Counter[str]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"dpl_gateway_{name}", text, labels=["node"])
    for node, value in sorted(values.items()):
        family.add_metric([node], value)
    return family
