"""Decides what a channel is told of an alert, when, and together with what. Pure: no rows, no clock.

Grouping is in time: the first thing that is due waits a little for others, then all that is due goes out in one
message. While one message of a channel is not through, nothing else is put together for it: what comes meanwhile
goes into the next one, and what ended unseen is never told.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from alerts.states import RAISED, AlertState, DeliveryState, NoticeKind, Severity

FIRST_PAUSE_S, LONGEST_PAUSE_S = 10.0, 600.0


@dataclass(frozen=True, slots=True)
class Raised:
    """An alert that fires, or has fired and people may wait for its end."""

    id: int
    state: AlertState
    severity: Severity
    fired_ms: int
    resolved_ms: int | None
    repeat_s: int = 0
    is_acknowledged: bool = False
    is_muted: bool = False


@dataclass(frozen=True, slots=True)
class Wants:
    """What a channel wants to be told."""

    least_severity: Severity = Severity.INFO
    tells_resolved: bool = True


@dataclass(frozen=True, slots=True)
class ToldBefore:
    """One notice of an alert that was put together for the channel, and what became of its message."""

    kind: NoticeKind
    at_ms: int
    state: DeliveryState


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is due (None: nothing) since when; `is_settled`: nothing will ever be."""

    kind: NoticeKind | None = None
    since_ms: int = 0
    is_settled: bool = False


_LATER, _NEVER = Verdict(), Verdict(is_settled=True)


def verdict_on(alert: Raised, before: Sequence[ToldBefore], wants: Wants, now_ms: int) -> Verdict:
    """What a channel is to be told of an alert now."""
    if alert.state in RAISED:
        if alert.is_muted or alert.severity.rank < wants.least_severity.rank:
            return _LATER
        return _of_raised(alert, before, now_ms)
    if not before or not wants.tells_resolved or alert.is_muted:
        return _NEVER
    if any(one.state is DeliveryState.QUEUED for one in before):
        return _LATER
    was_told = any(one.state is DeliveryState.SENT for one in before)
    if not was_told or any(one.kind is NoticeKind.RESOLVED for one in before):
        return _NEVER
    return Verdict(NoticeKind.RESOLVED, alert.resolved_ms or now_ms)


def _of_raised(alert: Raised, before: Sequence[ToldBefore], now_ms: int) -> Verdict:
    told = [one for one in before if one.state in (DeliveryState.QUEUED, DeliveryState.SENT)]
    if not told:
        return Verdict(NoticeKind.FIRING, alert.fired_ms)
    latest = max(told, key=lambda one: one.at_ms)
    if latest.state is DeliveryState.QUEUED:
        return _LATER
    due_ms = latest.at_ms + alert.repeat_s * 1000
    is_wanted = alert.repeat_s and not alert.is_acknowledged and alert.state is AlertState.FIRING
    return Verdict(NoticeKind.REPEAT, due_ms) if is_wanted and now_ms >= due_ms else _LATER


def must_go(
    due_since_ms: Iterable[int], *, wait_s: float, is_busy: bool, lately: int, most: int, now_ms: int
) -> bool:
    """Whether what is due goes out now.

    `is_busy`: a message of the channel is not through yet; `lately` of `most` messages went out in the last hour.
    """
    first = min(due_since_ms, default=None)
    return first is not None and not is_busy and lately < most and now_ms - first >= wait_s * 1000


def pause_s(attempts: int, chance: float) -> float:
    """Seconds until the next try after so many that failed; `chance` (0 to 1) spreads them."""
    return min(FIRST_PAUSE_S * 2.0 ** min(attempts - 1, 10), LONGEST_PAUSE_S) * (0.8 + 0.4 * chance)
