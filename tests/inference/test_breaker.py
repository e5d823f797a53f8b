"""The breaker: what takes an engine out of rotation and what brings it back."""

from __future__ import annotations

import pytest

from inference import errors
from inference.breaker import FAILURES_IN_A_ROW, Streak, after_error, after_success


def test_a_refused_connection_opens_it_at_once() -> None:
    verdict = after_error(Streak(), errors.Unreachable("nothing listens at 127.0.0.1:9"))
    assert verdict.opens
    assert verdict.reason == "nothing listens at 127.0.0.1:9"


@pytest.mark.parametrize("kind", [errors.EngineFailure, errors.EngineTimeout, errors.ConnectionLost])
def test_other_failures_open_it_after_some_in_a_row(kind: type[errors.InferenceError]) -> None:
    streak = Streak()
    for _ in range(FAILURES_IN_A_ROW - 1):
        verdict = after_error(streak, kind("broken"))
        assert not verdict.opens
        streak = verdict.streak
    assert after_error(streak, kind("broken")).opens


@pytest.mark.parametrize(
    "error",
    [
        errors.EngineBusy("503"),
        errors.ModelMissing("no such model"),
        errors.NodeLocked("locked"),
        errors.NotSupported("no embeddings here"),
        errors.ContextOverflow("too long"),
        errors.RequestRefused("bad"),
        errors.Cancelled("left"),
    ],
)
def test_back_pressure_and_bad_prompts_say_nothing_of_the_engine(error: errors.InferenceError) -> None:
    streak = Streak(failures=FAILURES_IN_A_ROW - 1)
    verdict = after_error(streak, error)
    assert verdict.streak == streak
    assert not verdict.opens


def test_a_generation_that_came_through_closes_it_and_ends_the_streak() -> None:
    verdict = after_success(Streak(failures=3))
    assert verdict.closes
    assert verdict.streak == Streak()
