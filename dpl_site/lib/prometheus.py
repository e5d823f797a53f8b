"""How rows become metric families for Prometheus: read at each scrape, nothing kept between two of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

Labels = Sequence[str]


class RowsCollector(Collector):
    """A collector that knows its families only when it is asked for them."""

    def describe(self) -> list[Metric]:
        """Nothing beforehand: the rows are read when they are asked for."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Every family, read now."""
        raise NotImplementedError


def gauge(name: str, text: str, value: float | None) -> GaugeMetricFamily:
    """A family of one sample without labels; of none while the value is unknown."""
    return gauges(name, text, (), [] if value is None else [((), value)])


def gauges(
    name: str, text: str, labels: Labels, samples: Iterable[tuple[Labels, float]]
) -> GaugeMetricFamily:
    """A family with one sample for each tuple of label values."""
    family = GaugeMetricFamily(name, text, labels=labels)
    for values, value in samples:
        family.add_metric(values, value)
    return family
