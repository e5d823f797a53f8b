"""How an alert's life is drawn: its states one after another, as parts of a bar."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from alerts.models import Alert, AlertEvent
from alerts.states import AlertState
from dpl_site.lib.db import now_ms

LEAST_PERCENT = 2.0
"""A state that lasted a moment is still to be seen."""


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of a bar, in percent of its length, as SVG's attributes have it; `seconds` is how long it was."""

    state: str
    x: str
    width: str
    seconds: float


def parts(alert: Alert) -> list[Part]:
    """The states of its life, oldest first; of what has ended nothing is drawn."""
    return drawn(stretches(alert, alert.events.all(), now_ms()))


def stretches(alert: Alert, events: Iterable[AlertEvent], now: int) -> list[tuple[str, float]]:
    """(state, seconds) of each, oldest first."""
    steps = sorted((event.at_ms, event.new) for event in events if event.new)
    found = []
    for (at, state), (until, _) in zip(steps, [*steps[1:], (max(now, alert.state_ms), "")], strict=True):
        if state not in (AlertState.RESOLVED, AlertState.OK):
            found.append((state, (until - at) / 1000))
    return found


def drawn(found: list[tuple[str, float]]) -> list[Part]:
    """Side by side over the whole length, each wide enough to be seen."""
    whole = sum(seconds for _, seconds in found) or 1.0
    widths = [max(LEAST_PERCENT, 100 * seconds / whole) for _, seconds in found]
    scale, x, drawn_parts = 100 / sum(widths) if widths else 1.0, 0.0, []
    for (state, seconds), width in zip(found, widths, strict=True):
        drawn_parts.append(Part(state, f"{x:.3f}%", f"{width * scale:.3f}%", seconds))
        x += width * scale
    return drawn_parts
