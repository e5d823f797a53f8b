"""Reads history: curves for charts, and the latest points for whoever watches a figure.

A stretch that is not rolled up yet is read from the finer tiers, so that a curve ends now whatever the controller
has got to. A late reading may count twice in a mean for the seconds until its stretch is rolled up anew.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from django.db.models import Count

from dpl_site.lib.db import now_ms
from nodes.blocks import BrokenBlock, RawBlock, RolledBlock, read_block
from nodes.measures import METRICS, Figure
from nodes.models import HistoryBlock
from nodes.rollups import RAW, TIERS, Buckets, Point, Tier, aligned, tier_for

Latest = dict[int, dict[str, list[tuple[int, float]]]]
"""Node id → subject → (epoch milliseconds, value), oldest first."""
_Key = tuple[int, Figure]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Curve:
    """One figure over the window's times; None where there was no reading."""

    subject: str
    points: tuple[Point | None, ...]


@dataclass(frozen=True, slots=True)
class Window:
    """One metric of one node: a curve per subject, all at the same times, `step_ms` apart."""

    metric: str
    step_ms: int
    times: range
    curves: tuple[Curve, ...]

    @property
    def unit(self) -> str:
        """The metric's unit; empty for a plain number."""
        return METRICS[self.metric].unit


def window(
    *,
    node_id: int,
    metrics: Collection[str],
    from_ms: int,
    to_ms: int,
    step_ms: int,
    subjects: Collection[str] | None = None,
) -> list[Window]:
    """The metrics of one node from one moment to another (exclusive), in the order asked; `subjects`: those only.

    The times are multiples of the step, the first at or before `from_ms`. The step is longer than was asked
    where only coarser points are kept. A figure without any reading in the window has no curve.
    """
    found, times = _read(
        node_ids=[node_id], metrics=metrics, from_ms=from_ms, to_ms=to_ms, step_ms=step_ms, subjects=subjects
    )
    curves: defaultdict[str, list[Curve]] = defaultdict(list)
    for (_, figure), points in sorted(found.items(), key=lambda pair: _in_order(pair[0][1])):
        curves[figure.metric].append(Curve(figure.subject, tuple(aligned(points, times=times))))
    return [Window(metric, times.step, times, tuple(curves[metric])) for metric in metrics]


def fleet_window(
    *, node_ids: Collection[int], metrics: Collection[str], from_ms: int, to_ms: int, step_ms: int
) -> tuple[range, dict[int, dict[Figure, list[Point | None]]]]:
    """The same for several nodes at once: the times, and node id → figure → points at them."""
    found, times = _read(
        node_ids=node_ids, metrics=metrics, from_ms=from_ms, to_ms=to_ms, step_ms=step_ms, subjects=None
    )
    nodes: defaultdict[int, dict[Figure, list[Point | None]]] = defaultdict(dict)
    for (node_id, figure), points in found.items():
        nodes[node_id][figure] = aligned(points, times=times)
    return times, dict(nodes)


def latest_points(*, node_ids: Collection[int], metric: str, since_ms: int) -> Latest:
    """What a metric of some nodes was since a moment, each reading as it came; see `latest_of`."""
    return latest_of(node_ids=node_ids, metrics=[metric], since_ms=since_ms)[metric]


def latest_of(*, node_ids: Collection[int], metrics: Collection[str], since_ms: int) -> dict[str, Latest]:
    """Metric → its points since a moment, by node and subject; read once for all of them.

    Within the last hour these are the readings themselves, newest included. A longer look back gives the means
    of the finest tier that reaches so far, and readings where it ends. A node or subject without any reading is
    not there: it has no points rather than points of 0.
    """
    tier = tier_for(step_ms=1, from_ms=since_ms, now_ms=now_ms())
    found: dict[str, Latest] = {metric: {} for metric in metrics}
    for node_id, block in _blocks(tier, node_ids, since_ms, None):
        for figure in block.layout:
            if figure.metric in found:
                points = found[figure.metric].setdefault(node_id, {}).setdefault(figure.subject, [])
                points += [pair for pair in _pairs(block, figure) if pair[0] >= since_ms]
    for metric, nodes in found.items():
        kept = {node_id: _sorted(subjects) for node_id, subjects in nodes.items()}
        found[metric] = {node_id: subjects for node_id, subjects in kept.items() if subjects}
    return found


def history_rows() -> dict[str, int]:
    """How many rows each tier has: by its step in seconds, `raw` for the readings themselves."""
    rows = HistoryBlock.objects.order_by("step_s").values_list("step_s").annotate(Count("id"))
    return {f"{step_s}s" if step_s else "raw": count for step_s, count in rows}


def _sorted(subjects: dict[str, list[tuple[int, float]]]) -> dict[str, list[tuple[int, float]]]:
    return {subject: sorted(points) for subject, points in subjects.items() if points}


def _pairs(block: RawBlock | RolledBlock, figure: Figure) -> Iterator[tuple[int, float]]:
    if isinstance(block, RawBlock):
        return (
            (at, value)
            for at, value in zip(block.times, block.values(figure), strict=True)
            if value == value  # NaN is no reading
        )
    return ((at, mean) for at, _, mean, _, _ in block.rows(figure))


def _read(
    *,
    node_ids: Collection[int],
    metrics: Collection[str],
    from_ms: int,
    to_ms: int,
    step_ms: int,
    subjects: Collection[str] | None,
) -> tuple[dict[_Key, list[Point]], range]:
    tier = tier_for(step_ms=step_ms, from_ms=from_ms, now_ms=now_ms())
    if tier is not RAW:
        step_ms = -(-step_ms // tier.step_ms) * tier.step_ms
    times = range(from_ms - from_ms % step_ms, to_ms, step_ms)
    sums: dict[_Key, Buckets] = {}
    for node_id, block in _blocks(tier, node_ids, times.start, times.start + len(times) * step_ms):
        for figure in block.layout:
            if figure.metric in metrics and (subjects is None or figure.subject in subjects):
                _add(sums.setdefault((node_id, figure), Buckets(step_ms)), block, figure)
    within = {key: [one for one in sum.points() if one.t_ms in times] for key, sum in sums.items()}
    return {key: points for key, points in within.items() if points}, times


def _add(buckets: Buckets, block: RawBlock | RolledBlock, figure: Figure) -> None:
    if isinstance(block, RawBlock):
        buckets.add_readings(block.times, block.values(figure))
    else:
        buckets.add_points(block.rows(figure))


def _blocks(
    tier: Tier, node_ids: Collection[int], from_ms: int, to_ms: int | None
) -> Iterator[tuple[int, RawBlock | RolledBlock]]:
    """The blocks of a tier that touch these times, and of the finer ones what it does not hold yet."""
    for one in TIERS[: TIERS.index(tier) + 1]:
        rows = HistoryBlock.objects.filter(
            node_id__in=node_ids, step_s=one.step_s, start_ms__gt=from_ms - one.block_ms
        )
        if to_ms is not None:
            rows = rows.filter(start_ms__lt=to_ms)
        if one is not tier:
            rows = rows.filter(is_rolled=False)
        columns = rows.order_by().values_list("id", "node_id", "figures", "start_ms", "data")
        for row_id, node_id, figures, start_ms, data in columns:
            try:
                yield node_id, read_block(one, figures, start_ms, bytes(data))
            except BrokenBlock as error:
                logger.error("history row %d is broken and passed over: %s", row_id, error)


def _in_order(figure: Figure) -> tuple[str, Sequence[object]]:
    """GPU 10 comes after GPU 9."""
    subject = figure.subject
    is_number = subject.isdecimal()
    return figure.metric, (not is_number, int(subject) if is_number else 0, subject)
