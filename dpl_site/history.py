"""The history of figures as the site's paths read it: one seam, so that they need not know how it is kept."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from nodes.rollups import Point
from nodes.series import fleet_window, history_rows


@dataclass(frozen=True, slots=True)
class Series:
    """One figure of one node over time: means, by epoch milliseconds, rising; a gap is a missing point.

    `subject` is a GPU's index or a filesystem's mount point, empty for a figure of the node itself;
    `resolution_ms` is how far apart points are where there is no gap.
    """

    node_id: int
    subject: str
    resolution_ms: int
    points: Sequence[tuple[int, float]]


class History(Protocol):
    """What keeps the figures."""

    def series(
        self, *, node_ids: Collection[int], metric: str, from_ms: int, to_ms: int, step_ms: int
    ) -> Sequence[Series]:
        """The series of one metric of the vocabulary; `step_ms` is the resolution that is wanted, not a promise."""

    def rows(self) -> Mapping[str, int]:
        """How many rows each tier holds; cheap."""


class KeptHistory:
    """What `nodes.history` keeps."""

    def series(
        self, *, node_ids: Collection[int], metric: str, from_ms: int, to_ms: int, step_ms: int
    ) -> Sequence[Series]:
        """The means, without the gaps."""
        times, found = fleet_window(
            node_ids=node_ids, metrics=[metric], from_ms=from_ms, to_ms=to_ms, step_ms=step_ms
        )
        return [
            Series(node_id, figure.subject, times.step, _means(times, points))
            for node_id, figures in sorted(found.items())
            for figure, points in sorted(figures.items())
        ]

    def rows(self) -> Mapping[str, int]:
        """Rows by tier: its step, or `raw`."""
        return history_rows()


def history() -> History:
    """The history of this installation."""
    return KeptHistory()


def _means(times: range, points: Sequence[Point | None]) -> list[tuple[int, float]]:
    return [(at, point.mean) for at, point in zip(times, points, strict=True) if point is not None]
