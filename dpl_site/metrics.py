"""`GET /metrics`: everything that DPL tells Prometheus, put together out of each app's own collectors.

All is read from rows at each scrape, so that whichever web process answers tells the same.
"""

from __future__ import annotations

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from accounts.http import methods, require
from alerts.exposition import AlertCollector
from datasets.metrics import JobCollector
from dpl_site.processes.metrics import InstallationCollector
from inference.engine_metrics import EngineCollector
from inference.metrics import GatewayCollector
from nodes.metrics import NodeCollector

COLLECTORS: tuple[Callable[[], Collector], ...] = (
    GatewayCollector,
    EngineCollector,
    NodeCollector,
    JobCollector,
    AlertCollector,
    InstallationCollector,
)


@methods("GET")
def metrics(request: HttpRequest) -> HttpResponseBase:
    """Text for Prometheus, or OpenMetrics where that is asked for; open with DPL_PUBLIC_METRICS, else for `read`."""
    return _told(request) if settings.DPL_PUBLIC_METRICS else _guarded(request)


def registry() -> CollectorRegistry:
    """All collectors; a name that two of them tell makes reading it fail."""
    found = CollectorRegistry()
    for collector in COLLECTORS:
        found.register(collector())
    return found


def _told(request: HttpRequest) -> HttpResponse:
    encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    encoder: Callable[[CollectorRegistry], bytes] = encode
    return HttpResponse(encoder(registry()), content_type=content_type)


_guarded: Callable[[HttpRequest], HttpResponseBase] = require("read")(_told)
