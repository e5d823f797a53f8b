"""Evaluates a selection over series, moment by moment, as Prometheus does. Pure.

A moment's value is the latest point that is not older than the step, or than two and a half of the series' own
distances where those are larger; where there is none there is a gap.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from dpl_site.history import Series
from dpl_site.prometheus.promql import Selection
from dpl_site.prometheus.ranges import Range
from nodes.exposition import SUBJECT_LABEL
from nodes.measures import METRICS

PATIENCE = 2.5
Values = Sequence[float | None]
_TOGETHER: Mapping[str, Callable[[list[float]], float]] = {
    "avg": lambda values: sum(values) / len(values),
    "max": max,
    "min": min,
    "sum": sum,
    "count": lambda values: float(len(values)),
}


def evaluate(
    selection: Selection, asked: Range, series: Sequence[Series], names: Mapping[int, str]
) -> list[dict[str, Any]]:
    """Prometheus' matrix: `[{"metric": {…}, "values": [[seconds, "value"], …]}, …]`, without empty series.

    `names` gives the nodes' names by id.
    """
    moments = [asked.start_s + number * asked.step_s for number in range(asked.points)]
    found = [
        (labels, _at(one, moments, asked.step_s, selection.factor))
        for one in series
        if selection.takes(labels := labels_of(one, selection.metric, names))
    ]
    if selection.aggregate:
        found = _together(selection, found)
        told = [(labels, values) for labels, values in found]
    else:
        told = [({"__name__": selection.name, **labels}, values) for labels, values in found]
    matrix = ({"metric": labels, "values": list(_written(moments, values))} for labels, values in told)
    return [one for one in matrix if one["values"]]


def labels_of(series: Series, metric: str, names: Mapping[int, str]) -> dict[str, str]:
    """The labels of a series."""
    label = SUBJECT_LABEL.get(METRICS[metric].per)
    return {"node": names[series.node_id]} | ({label: series.subject} if label else {})


def _at(series: Series, moments: Sequence[float], step_s: float, factor: float) -> Values:
    times = [at_ms for at_ms, _ in series.points]
    patience_ms = max(step_s * 1000, PATIENCE * series.resolution_ms)
    found: list[float | None] = []
    for moment in moments:
        at_ms = moment * 1000
        last = bisect_right(times, at_ms) - 1
        is_there = last >= 0 and at_ms - times[last] < patience_ms
        found.append(series.points[last][1] * factor if is_there else None)
    return found


def _together(
    selection: Selection, found: Sequence[tuple[dict[str, str], Values]]
) -> list[tuple[dict[str, str], Values]]:
    groups: dict[tuple[str, ...], list[Values]] = defaultdict(list)
    for labels, values in found:
        groups[tuple(labels.get(label, "") for label in selection.by)].append(values)
    put = _TOGETHER[selection.aggregate]
    return [
        (_without_empty(selection.by, key), [_put(put, at_once) for at_once in zip(*group, strict=True)])
        for key, group in sorted(groups.items())
    ]


def _put(put: Callable[[list[float]], float], at_once: Sequence[float | None]) -> float | None:
    known = [value for value in at_once if value is not None]
    return put(known) if known else None


def _without_empty(labels: Sequence[str], values: Sequence[str]) -> dict[str, str]:
    return {label: value for label, value in zip(labels, values, strict=True) if value}


def _written(moments: Sequence[float], values: Values) -> Iterator[list[float | str]]:
    for moment, value in zip(moments, values, strict=True):
        if value is not None:
            yield [round(moment, 3), repr(value).removesuffix(".0")]
