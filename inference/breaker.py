"""Decides when an engine is taken out of rotation and when it may be tried again. Pure.

Live traffic feeds it: a refused or broken connection opens it at once, other failures after some in a row.
Only a real generation closes it; until then one request at a time may try, after a pause.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from inference.errors import (
    Blame,
    EngineBusy,
    InferenceError,
    ModelMissing,
    NodeLocked,
    NotSupported,
    Unreachable,
)

FAILURES_IN_A_ROW = 5
PAUSE_MS = 2_000
"""How long an open breaker keeps requests away before one of them may try."""


@dataclass(frozen=True, slots=True)
class Streak:
    """What one process saw of one engine lately: failures since the last success."""

    failures: int = 0


@dataclass(frozen=True, slots=True)
class Verdict:
    """The streak afterwards, and whether the breaker opens or closes now, with the reason."""

    streak: Streak
    opens: bool = False
    closes: bool = False
    reason: str = ""


_ALL_IS_WELL = Verdict(Streak(), closes=True)


def after_success(streak: Streak) -> Verdict:
    """A real generation came through: whatever was wrong is over."""
    return _ALL_IS_WELL


def after_error(streak: Streak, error: InferenceError) -> Verdict:
    """What an error says about its engine; back-pressure, locks, refusals of the prompt and ours say nothing."""
    if isinstance(error, EngineBusy | ModelMissing | NodeLocked | NotSupported) or error.blame is Blame.US:
        return Verdict(streak)
    if error.blame is Blame.ITEM and not error.is_retryable:
        return Verdict(streak)
    failures = replace(streak, failures=streak.failures + 1)
    if isinstance(error, Unreachable) or failures.failures >= FAILURES_IN_A_ROW:
        return Verdict(failures, opens=True, reason=error.message)
    return Verdict(failures)
