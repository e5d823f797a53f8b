"""Alerts for Prometheus: how many there are, by severity and state."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.metrics_core import Metric

from alerts.selectors import open_counts
from dpl_site.lib.prometheus import RowsCollector, gauges


class AlertCollector(RowsCollector):
    """The rows of alerts that are not over as a metric family."""

    def collect(self) -> Iterator[Metric]:
        """The family, read now."""
        samples = [(place, float(count)) for place, count in sorted(open_counts().items())]
        yield gauges("dpl_alerts", "Alerts by severity and state.", ("severity", "state"), samples)
