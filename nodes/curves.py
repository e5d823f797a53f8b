"""Curves as clients get them: the shapes of `GET /api/v1/nodes/{id}/metrics/`. Null is a gap, never 0."""

from __future__ import annotations

from typing import TypedDict

from dpl_site.lib.clock import iso_ms
from nodes.asking import Wanted, check_size
from nodes.series import Curve, Window, window


class CurveView(TypedDict):
    """One figure: the times in epoch milliseconds and what it was at each; null where there was no reading."""

    subject: str
    t: list[int]
    mean: list[float | None]
    min: list[float | None]
    max: list[float | None]


WindowView = TypedDict(
    "WindowView",
    {
        "metric": str,
        "unit": str,
        "step_s": float,
        "from": str | None,
        "to": str | None,
        "series": list[CurveView],
    },
)
"""One metric of one node. `subject` is empty, a GPU's index, or a mount point."""


class WindowsView(TypedDict):
    """Several metrics of one node, in the order asked."""

    metrics: list[WindowView]


def curves_view(*, node_id: int, wanted: Wanted) -> WindowView | WindowsView:
    """The answer: one metric as it is, several in a list. Raises Refused when it would be too large."""
    windows = window(
        node_id=node_id,
        metrics=wanted.metrics,
        from_ms=wanted.from_ms,
        to_ms=wanted.to_ms,
        step_ms=wanted.step_ms,
        subjects=wanted.subjects or None,
    )
    check_size(sum(len(one.times) * len(one.curves) for one in windows))
    views = [_window(one) for one in windows]
    return views[0] if len(views) == 1 else {"metrics": views}


def _window(found: Window) -> WindowView:
    times = found.times
    return {
        "metric": found.metric,
        "unit": found.unit,
        "step_s": found.step_ms / 1000,
        "from": iso_ms(times.start),
        "to": iso_ms(times.start + len(times) * times.step),
        "series": [_curve(curve, times) for curve in found.curves],
    }


def _curve(curve: Curve, times: range) -> CurveView:
    points = curve.points
    return {
        "subject": curve.subject,
        "t": list(times),
        "mean": [point and _short(point.mean) for point in points],
        "min": [point and _short(point.low) for point in points],
        "max": [point and _short(point.high) for point in points],
    }


def _short(value: float) -> float:
    """Without digits that the packing made up: it keeps seven."""
    return float(f"{value:.7g}")
