"""Decides when an alert begins, fires, recovers and ends: `evaluate`. Pure: no rows, no clock.

Flapping is held back three times: by the clear value, which lies on the good side of the fire value; by `for_s`,
how long the condition must hold before the alert fires; by `keep_s`, how long it must be clear before the alert
ends. Each is counted from instants that are kept in rows, so a new controller goes on where the last one ended.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from alerts.metrics import SWITCHES, shown
from alerts.states import RAISED, Aggregation, AlertState, NoData, Operator, Severity


@dataclass(frozen=True, slots=True)
class RuleSpec:
    """A rule as the policy sees it. Times in seconds; `repeat_s` 0: never again."""

    id: int
    name: str
    metric: str
    operator: Operator
    fire_value: float
    clear_value: float
    aggregation: Aggregation = Aggregation.LAST
    window_s: int = 0
    for_s: int = 0
    keep_s: int = 0
    severity: Severity = Severity.WARNING
    no_data: NoData = NoData.OK
    repeat_s: int = 0
    key: str = ""

    def is_hot(self, value: float) -> bool:
        """Whether a value is one to fire at."""
        return self.operator.holds(value, self.fire_value)

    def is_clear(self, value: float) -> bool:
        """Whether a value is one to end at; between both values neither holds."""
        return not self.operator.holds(value, self.clear_value)


@dataclass(frozen=True, slots=True)
class Measured:
    """What a rule's aggregation gives now.

    `value` None is no data. `is_waiting`: there is too little of the window yet to judge by.
    """

    value: float | None
    is_waiting: bool = False


WAITING = Measured(None, is_waiting=True)
NOTHING = Measured(None)


@dataclass(frozen=True, slots=True)
class Standing:
    """The state that stands for one instance of a rule, since when (epoch ms)."""

    state: AlertState
    since_ms: int


@dataclass(frozen=True, slots=True)
class Transition:
    """A step of an alert's life, with its reason in English; `duration_s` is how long the old state stood."""

    old: AlertState
    new: AlertState
    value: float | None
    threshold: float
    duration_s: float
    reason: str


def fingerprint(rule_id: int, node_id: int | None, subject: str) -> str:
    """What names one instance of a rule: this rule, on this node, for this GPU, filesystem, engine or job."""
    named = f"{rule_id}\x00{node_id or 0}\x00{subject}"
    return hashlib.blake2s(named.encode("utf-8", "replace"), digest_size=16).hexdigest()


def evaluate(
    rule: RuleSpec, measured: Measured, standing: Standing | None, now_ms: int, *, is_held: bool = False
) -> Transition | None:
    """The step that is due now, None when everything stays as it is.

    `is_held`: the node is down, so what is measured of it says nothing: a raised alert stays, a pending one is
    taken back.
    """
    state = standing.state if standing else AlertState.OK
    elapsed_s = max(0.0, (now_ms - standing.since_ms) / 1000) if standing else 0.0
    if is_held:
        new, reason = _held(state)
    elif measured.is_waiting or (measured.value is None and rule.no_data is NoData.KEEP):
        return None
    else:
        new, reason = _next(rule, measured.value, state, elapsed_s)
    if new is state:
        return None
    threshold = rule.fire_value if new in (AlertState.PENDING, AlertState.FIRING) else rule.clear_value
    return Transition(state, new, measured.value, threshold, elapsed_s, reason)


def ended(rule: RuleSpec, standing: Standing, now_ms: int, reason: str) -> Transition | None:
    """The end of an alert whose rule, node or subject is watched no more; None for what has ended."""
    ends = {AlertState.PENDING: AlertState.OK} | dict.fromkeys(RAISED, AlertState.RESOLVED)
    new = ends.get(standing.state)
    if new is None:
        return None
    elapsed_s = max(0.0, (now_ms - standing.since_ms) / 1000)
    return Transition(standing.state, new, None, rule.clear_value, elapsed_s, reason)


def _held(state: AlertState) -> tuple[AlertState, str]:
    if state is AlertState.PENDING:
        return AlertState.OK, "its node is down, which has an alert of its own"
    return state, ""


def _next(rule: RuleSpec, value: float | None, state: AlertState, elapsed_s: float) -> tuple[AlertState, str]:
    """The state that follows, with the reason; the same state when it stays."""
    if value is None:
        is_hot = rule.no_data is NoData.ALERT
        is_clear, said = not is_hot, "there is no data"
    else:
        is_hot, is_clear, said = rule.is_hot(value), rule.is_clear(value), shown(rule.metric, value)
    is_plain = value is None or rule.metric in SWITCHES
    over = said if is_plain else f"{said} {rule.operator} {shown(rule.metric, rule.fire_value)}"
    under = said if is_plain else f"{said}, clear of {shown(rule.metric, rule.clear_value)}"
    if state is AlertState.OK:
        if not is_hot:
            return state, ""
        return (AlertState.PENDING if rule.for_s else AlertState.FIRING), over
    if state is AlertState.PENDING:
        if not is_hot:
            return AlertState.OK, f"{said} again after {elapsed_s:.0f} s"
        is_due = elapsed_s >= rule.for_s
        return (AlertState.FIRING, f"{over} for {elapsed_s:.0f} s") if is_due else (state, "")
    if state is AlertState.FIRING:
        if not is_clear:
            return state, ""
        return (AlertState.RECOVERING if rule.keep_s else AlertState.RESOLVED), under
    if not is_clear:
        return AlertState.FIRING, over if is_hot else f"{said} is not clear of {rule.clear_value:g}"
    is_due = elapsed_s >= rule.keep_s
    return (AlertState.RESOLVED, f"{under} for {elapsed_s:.0f} s") if is_due else (state, "")
