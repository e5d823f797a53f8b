"""The edge of a node's history: what its query asks, what comes back, and how the schema says it."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import QueryDict
from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers

from dpl_site.lib.db import now_ms
from nodes.asking import HOW, USUAL_POINTS, parse_wanted
from nodes.curves import WindowsView, WindowView, curves_view
from nodes.measures import METRICS
from nodes.models import Node

METRIC_FILTERS = [
    OpenApiParameter(
        "metric", str, enum=list(METRICS), many=True, required=True, description="Several may be given."
    ),
    OpenApiParameter("subject", str, many=True, description="GPUs by index, or mount points; all without."),
    OpenApiParameter("from", str, description=f"{HOW} An hour ago without."),
    OpenApiParameter("to", str, description="Now without."),
    OpenApiParameter(
        "step",
        str,
        description=f"Seconds, or 5m, 1h, 1d; without, so that there are {USUAL_POINTS} points at most.",
    ),
]


class CurveOut(serializers.Serializer[Any]):
    """One figure over time; null where there was no reading."""

    subject = serializers.CharField(help_text="Empty, a GPU's index, or a mount point.")
    t = serializers.ListField(child=serializers.IntegerField(), help_text="Epoch milliseconds.")
    mean = serializers.ListField(child=serializers.FloatField(allow_null=True))
    min = serializers.ListField(child=serializers.FloatField(allow_null=True))
    max = serializers.ListField(child=serializers.FloatField(allow_null=True))


class WindowOut(serializers.Serializer[Any]):
    """One metric; several are a list of these under `metrics`."""

    metric = serializers.CharField()
    unit = serializers.CharField()
    step_s = serializers.FloatField(help_text="Longer than asked where only coarser points are kept.")
    to = serializers.DateTimeField()
    series = CurveOut(many=True)

    def get_fields(self) -> dict[str, Any]:
        """With `from`, which no attribute can be called."""
        return {**super().get_fields(), "from": serializers.DateTimeField()}


def measured(node: Node, query: QueryDict) -> WindowView | WindowsView:
    """The answer to a question for curves of one node. Raises Refused, by field."""
    wanted = parse_wanted(
        metrics=query.getlist("metric"),
        subjects=query.getlist("subject"),
        from_=query.get("from"),
        to=query.get("to"),
        step=query.get("step"),
        now_ms=now_ms(),
        interval_s=settings.DPL_POLL_INTERVAL_S,
    )
    return curves_view(node_id=node.id, wanted=wanted)
