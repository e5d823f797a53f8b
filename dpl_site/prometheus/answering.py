"""Answers a range query from our own history."""

from __future__ import annotations

from typing import Any

from dpl_site.history import history
from dpl_site.prometheus.errors import QueryError
from dpl_site.prometheus.evaluation import evaluate
from dpl_site.prometheus.promql import read_query
from dpl_site.prometheus.ranges import Range
from nodes.selectors import live_nodes

MOST_SAMPLES = 2_000_000
"""Moments of all series together that one query may ask for."""

LOOKBACK_MS = 300_000
"""How far before the start points are read, so that the first moments have a value too; Prometheus' own."""


def answer(asked: Range) -> dict[str, Any]:
    """Prometheus' own JSON. Raises QueryError for what the history cannot answer."""
    selection = read_query(asked.query)
    nodes = live_nodes().order_by("id").values_list("id", "name")
    names = {node_id: name for node_id, name in nodes if selection.takes_node(name)}
    _check_size(len(names), asked)
    step_ms = max(1, int(asked.step_s * 1000))
    series = history().series(
        node_ids=list(names),
        metric=selection.metric,
        from_ms=int(asked.start_s * 1000) - max(step_ms, LOOKBACK_MS),
        to_ms=int(asked.end_s * 1000),
        step_ms=step_ms,
    )
    _check_size(len(series), asked)
    return {
        "status": "success",
        "data": {"resultType": "matrix", "result": evaluate(selection, asked, series, names)},
    }


def _check_size(series: int, asked: Range) -> None:
    if series * asked.points > MOST_SAMPLES:
        raise QueryError(
            f"query processing would load too many samples into memory: {series} series of {asked.points} points; "
            "ask for fewer nodes, a shorter time or a larger step",
            kind="execution",
            status=422,
        )
