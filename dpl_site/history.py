"""The history of figures as the site's paths read it: one seam, so that they need not know how it is kept."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Series:
    """One figure of one node over time: means, by epoch milliseconds, rising; a gap is a missing point.

    `subject` is a GPU's index or a filesystem's mount point, empty for a figure of the node itself.
    """

    node_id: int
    subject: str
    points: Sequence[tuple[int, float]]


class History(Protocol):
    """What keeps the figures."""

    def series(
        self, *, node_ids: Collection[int], metric: str, from_ms: int, to_ms: int, step_ms: int
    ) -> Sequence[Series]:
        """The series of one metric of the vocabulary; `step_ms` is the resolution that is wanted, not a promise."""

    def rows(self) -> Mapping[str, int]:
        """How many rows each tier holds; cheap."""


class NoHistory:
    """None is kept."""

    def series(
        self, *, node_ids: Collection[int], metric: str, from_ms: int, to_ms: int, step_ms: int
    ) -> Sequence[Series]:
        """Nothing."""
        return ()

    def rows(self) -> Mapping[str, int]:
        """Nothing."""
        return {}


def history() -> History:
    """The history of this installation."""
    return NoHistory()
