"""What this process saw of each node last. Forgetting it costs a row of history and loses nothing."""

from __future__ import annotations

from collections.abc import Mapping

from nodes.blocks import Layout, layout_of
from nodes.measures import Figure
from nodes.payloads import Status
from nodes.rollups import MOST_FIGURES, TIERS


class LastTold:
    """By node: when its agent had measured, and which figures it tells.

    A node keeps its layout for a while when a figure is missing now and then, so that its readings share rows.
    """

    def __init__(self) -> None:
        self._sampled: dict[int, str] = {}
        self._layouts: dict[int, tuple[int, Layout, frozenset[Figure]]] = {}

    def is_fresh(self, node_id: int, status: Status) -> bool:
        """Whether the agent has measured anew since it was last asked this; true where it does not say when."""
        sampled = status["sampled_at"]
        if sampled is not None and self._sampled.get(node_id) == sampled:
            return False
        self._sampled[node_id] = sampled or ""
        return True

    def layout(self, node_id: int, at_ms: int, values: Mapping[Figure, float]) -> Layout:
        """A layout that has a place for each of these figures."""
        period = TIERS[1].start_of(at_ms)
        since, layout, known = self._layouts.get(node_id, (0, (), frozenset()))
        if since == period and values.keys() <= known:
            return layout
        wanted = values.keys() | known if since == period else values.keys()
        layout = layout_of(wanted if len(wanted) <= MOST_FIGURES else values.keys())
        self._layouts[node_id] = (period, layout, frozenset(layout))
        return layout

    def forget_all(self) -> None:
        """As after a start."""
        self._sampled.clear()
        self._layouts.clear()


last_told = LastTold()
"""This process's own."""
