"""`GET /api/cluster/overview`: the whole installation in a few numbers, and the last five minutes as curves.

Sums leave out what is not known; a figure that no node tells is null, never 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.http import HttpRequest, JsonResponse
from django.views.decorators.gzip import gzip_page

from accounts.http import methods, require
from alerts.selectors import firing_count
from datasets.models import Job
from datasets.states import JobState
from datasets.statistics import tokens_lately
from dpl_site.lib.db import now_ms
from inference.fleet import node_views
from inference.payloads import GpuView, MetricsView, NodeView
from inference.traffic import gateway_tokens, requests_in_flight
from nodes.measures import Figure
from nodes.rollups import MINUTE_MS, Point, default_step_ms
from nodes.series import fleet_window

HISTORY_MS = 5 * MINUTE_MS
MOST_POINTS = 60
LATELY = timedelta(seconds=60)
"""Tokens per second are those of requests that came and items that ended within this time."""
BUSY_PERCENT = 5.0
"""A GPU is busy from this utilisation on."""
CPU, GPU = "cpu_percent", "gpu_utilization_percent"


@methods("GET")
@gzip_page
@require("read")
def cluster_overview(request: HttpRequest) -> JsonResponse:
    """Seed 1's overview; with `only=activity` what no node tells, for a page that has the nodes already."""
    return JsonResponse(activity() if request.GET.get("only") == "activity" else overview())


def overview() -> dict[str, Any]:
    """The answer, read now."""
    nodes = node_views()
    return sums(nodes) | {"history": _history(nodes)}


def activity() -> dict[str, Any]:
    """What the installation is doing."""
    return {
        "requests_in_flight": requests_in_flight(),
        "tokens_per_second": _tokens_per_second(),
        "jobs_running": Job.objects.filter(state=JobState.RUNNING).count(),
        "alerts_firing": firing_count(),
    }


def sums(nodes: Sequence[NodeView]) -> dict[str, Any]:
    """The fleet and what it is doing, in numbers."""
    told = [node["metrics"] for node in nodes if node["metrics"] is not None]
    return {
        "nodes": {
            "total": len(nodes),
            "online": sum(node["online"] for node in nodes),
            "locked": sum(node["locked"] for node in nodes),
        },
        "cpu_percent": _mean(one["cpu_percent"] for one in told),
        "memory": _memory(told),
        "gpus": _gpus([gpu for one in told for gpu in one["gpus"]]),
        "network": {
            "rx_mbps": _sum(one["net_rx_mbps"] for one in told),
            "tx_mbps": _sum(one["net_tx_mbps"] for one in told),
        },
        "disk": {
            "read_mb_s": _sum(one["disk_read_mb_s"] for one in told),
            "write_mb_s": _sum(one["disk_write_mb_s"] for one in told),
        },
        **activity(),
    }


def _memory(told: Sequence[MetricsView]) -> dict[str, float | None]:
    whole = [one for one in told if one["memory_total_bytes"] and one["memory_used_bytes"] is not None]
    used, total = (
        _sum(one["memory_used_bytes"] for one in whole),
        _sum(one["memory_total_bytes"] for one in whole),
    )
    percent = round(100 * used / total, 1) if used is not None and total else None
    return {"used_bytes": used, "total_bytes": total, "percent": percent}


def _gpus(gpus: Sequence[GpuView]) -> dict[str, float | None]:
    return {
        "total": len(gpus),
        "busy": sum((gpu["utilization_percent"] or 0) >= BUSY_PERCENT for gpu in gpus),
        "utilization_percent": _mean(gpu["utilization_percent"] for gpu in gpus),
        "memory_used_bytes": _sum(gpu["memory_used_bytes"] for gpu in gpus),
        "memory_total_bytes": _sum(gpu["memory_total_bytes"] for gpu in gpus),
        "power_w": _sum(gpu["power_w"] for gpu in gpus),
    }


def _tokens_per_second() -> float:
    tokens = gateway_tokens(within=LATELY) + tokens_lately(within=LATELY)
    return round(tokens / LATELY.total_seconds(), 1)


def _history(nodes: Sequence[NodeView]) -> dict[str, Any]:
    now = now_ms()
    step_ms = default_step_ms(
        span_ms=HISTORY_MS, most_points=MOST_POINTS, interval_s=settings.DPL_POLL_INTERVAL_S
    )
    times, found = fleet_window(
        node_ids=[node["id"] for node in nodes],
        metrics=(CPU, GPU),
        from_ms=now - HISTORY_MS,
        to_ms=now,
        step_ms=step_ms,
    )
    return {
        "t": list(times),
        "nodes": [
            {"id": node["id"], "name": node["name"], **_curves(found.get(node["id"], {}), len(times))}
            for node in nodes
        ],
    }


def _curves(figures: dict[Figure, list[Point | None]], count: int) -> dict[str, list[float | None]]:
    """A node's processor, and the mean of its GPUs."""
    gpus = [points for figure, points in figures.items() if figure.metric == GPU]
    return {
        CPU: [point and round(point.mean, 1) for point in figures.get(Figure(CPU), [None] * count)],
        "gpu_percent": [
            _mean(point.mean for point in at_once if point is not None) for at_once in zip(*gpus, strict=True)
        ]
        or [None] * count,
    }


def _sum(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    total = sum(known)
    return (round(total, 2) if isinstance(total, float) else total) if known else None


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(sum(known) / len(known), 1) if known else None
