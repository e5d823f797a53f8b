"""Decides when a rule would have fired over values that are there: the same policy, run over them. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from alerts.rules import RuleSpec, Standing, evaluate
from alerts.samples import Samples
from alerts.states import Aggregation, AlertState

STALE_MS = 15_000
_SERIES = (0, None, "")


@dataclass(frozen=True, slots=True)
class Episode:
    """One alert that there would have been, epoch ms.

    `fired_ms` None: it stayed pending; `ended_ms` None: it stands at the end of what is there.
    """

    began_ms: int
    fired_ms: int | None
    ended_ms: int | None
    worst: float | None


def would_have_fired(
    rule: RuleSpec, values: Iterable[tuple[int, float | None]], *, most: int = 200
) -> list[Episode]:
    """The episodes over (epoch ms, value or None), oldest first; `most` at most.

    Values that lie further apart than usual are taken as they come: a gap is judged at its end.
    """
    windows, standing = Samples(), Standing(AlertState.OK, 0)
    found: list[Episode] = []
    stale_ms = max(STALE_MS, rule.window_s * 1000)
    is_plain = rule.aggregation is Aggregation.LAST
    for at_ms, value in values:
        if is_plain and value is not None and standing.state is AlertState.OK and not rule.is_hot(value):
            continue  # most values of most curves: nothing begins, and no window has to know
        measured = windows.measure(rule, _SERIES, value, at_ms, stale_ms)
        step = evaluate(rule, measured, standing, at_ms)
        if step is not None:
            if step.old is AlertState.OK:
                if len(found) >= most:
                    return found
                found.append(Episode(at_ms, None, None, measured.value))
            found[-1] = _after(found[-1], step.new, at_ms)
            is_over = step.new in (AlertState.OK, AlertState.RESOLVED)
            standing = Standing(AlertState.OK if is_over else step.new, at_ms)
        if standing.state is not AlertState.OK and measured.value is not None:
            found[-1] = _with_worst(rule, found[-1], measured.value)
    return found


def _after(episode: Episode, state: AlertState, at_ms: int) -> Episode:
    if state is AlertState.FIRING and episode.fired_ms is None:
        return Episode(episode.began_ms, at_ms, None, episode.worst)
    if state in (AlertState.OK, AlertState.RESOLVED):
        return Episode(episode.began_ms, episode.fired_ms, at_ms, episode.worst)
    return episode


def _with_worst(rule: RuleSpec, episode: Episode, value: float) -> Episode:
    pick = max if rule.operator.looks_up else min
    worst = value if episode.worst is None else pick(episode.worst, value)
    return Episode(episode.began_ms, episode.fired_ms, episode.ended_ms, worst)
