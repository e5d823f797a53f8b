"""When an alert begins, fires, recovers and ends."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.rules import NOTHING, WAITING, Measured, RuleSpec, Standing, ended, evaluate, fingerprint
from alerts.states import ALERT_MOVES, AlertState, NoData, Operator

OK, PENDING, FIRING = AlertState.OK, AlertState.PENDING, AlertState.FIRING
RECOVERING, RESOLVED = AlertState.RECOVERING, AlertState.RESOLVED
HOT = RuleSpec(1, "hot", "gpu_temperature_c", Operator.ABOVE, 90, 85, for_s=60, keep_s=120)


def life(rule: RuleSpec, values: Iterable[float | None], every_s: int = 20) -> list[tuple[int, AlertState]]:
    """The steps (second, new state) that values take, one each `every_s`; a new controller after each of them."""
    standing: Standing | None = None
    steps = []
    for second, value in zip(itertools.count(0, every_s), values, strict=False):
        step = evaluate(rule, Measured(value), standing, second * 1000)
        if step is not None:
            steps.append((second, step.new))
            standing = Standing(step.new, second * 1000)
            if step.new is RESOLVED:
                standing = None
    return steps


def test_it_fires_when_the_condition_held_for_long_enough() -> None:
    assert life(HOT, [80, 91, 92, 93, 94]) == [(20, PENDING), (80, FIRING)]


def test_a_peak_that_is_too_short_comes_to_nothing() -> None:
    assert life(HOT, [91, 91, 88, 91, 80]) == [(0, PENDING), (40, OK), (60, PENDING), (80, OK)]


def test_it_ends_when_it_was_clear_for_long_enough() -> None:
    values = [91] * 4 + [80] * 8
    assert life(HOT, values) == [(0, PENDING), (60, FIRING), (80, RECOVERING), (200, RESOLVED)]


def test_a_value_between_both_thresholds_neither_begins_nor_ends_anything() -> None:
    assert life(HOT, [88] * 9) == []
    assert life(HOT, [91] * 4 + [88] * 20) == [(0, PENDING), (60, FIRING)]


def test_flapping_is_one_alert() -> None:
    values = [91] * 4 + [84, 91] * 10 + [84] * 8
    steps = life(HOT, values)
    assert [state for _, state in steps].count(PENDING) == 1
    assert [state for _, state in steps].count(RESOLVED) == 1
    assert steps[-1] == (600, RESOLVED)


def test_without_for_and_keep_it_fires_and_ends_at_once() -> None:
    rule = RuleSpec(1, "up", "node_up", Operator.BELOW, 1, 1)
    assert life(rule, [1, 0, 0, 1]) == [(20, FIRING), (60, RESOLVED)]


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (NoData.OK, [(0, PENDING), (60, FIRING), (80, RECOVERING), (200, RESOLVED)]),
        (NoData.KEEP, [(0, PENDING), (60, FIRING)]),
        (NoData.ALERT, [(0, PENDING), (60, FIRING)]),
    ],
)
def test_no_data_means_what_the_rule_says(policy: NoData, expected: list[tuple[int, AlertState]]) -> None:
    rule = RuleSpec(
        1, "hot", "gpu_temperature_c", Operator.ABOVE, 90, 85, for_s=60, keep_s=120, no_data=policy
    )
    assert life(rule, [91] * 4 + [None] * 8) == expected


def test_no_data_fires_by_itself_where_the_rule_says_so() -> None:
    rule = RuleSpec(1, "silent", "controller_age_s", Operator.ABOVE, 20, 10, for_s=20, no_data=NoData.ALERT)
    assert life(rule, [None, None]) == [(0, PENDING), (20, FIRING)]
    step = evaluate(rule, NOTHING, Standing(PENDING, 0), 20_000)
    assert step is not None
    assert "no data" in step.reason


@pytest.mark.parametrize("state", [PENDING, FIRING, RECOVERING])
def test_while_a_window_fills_everything_stays_as_it_is(state: AlertState) -> None:
    assert evaluate(HOT, WAITING, Standing(state, 0), 10_000_000) is None


def test_what_follows_from_a_node_that_is_down_neither_begins_nor_ends() -> None:
    for state in (FIRING, RECOVERING):
        assert evaluate(HOT, NOTHING, Standing(state, 0), 10_000_000, is_held=True) is None
    assert evaluate(HOT, Measured(99), None, 0, is_held=True) is None
    taken_back = evaluate(HOT, Measured(99), Standing(PENDING, 0), 10_000_000, is_held=True)
    assert taken_back is not None
    assert taken_back.new is OK


def test_a_step_says_why() -> None:
    step = evaluate(HOT, Measured(93), Standing(PENDING, 0), 61_000)
    assert step is not None
    assert (step.value, step.threshold, step.duration_s) == (93, 90, 61)
    assert step.reason == "93 °C > 90 °C for 61 s"
    clear = evaluate(HOT, Measured(80), Standing(FIRING, 0), 5_000)
    assert clear is not None
    assert (clear.threshold, clear.reason) == (85, "80 °C, clear of 85 °C")


def test_a_clock_that_goes_back_hurries_nothing() -> None:
    assert evaluate(HOT, Measured(93), Standing(PENDING, 100_000), 0) is None


def test_an_alert_whose_rule_is_gone_ends() -> None:
    step = ended(HOT, Standing(FIRING, 0), 1000, "its rule is gone")
    assert step is not None
    assert (step.new, step.reason) == (RESOLVED, "its rule is gone")
    assert ended(HOT, Standing(OK, 0), 1000, "") is None


def test_each_instance_has_a_fingerprint_of_its_own() -> None:
    found = {fingerprint(*one) for one in [(1, 1, ""), (1, 11, ""), (11, 1, ""), (1, 1, "1"), (1, None, "")]}
    assert len(found) == 5
    assert all(len(one) == 32 for one in found)


@given(st.lists(st.one_of(st.none(), st.floats(allow_nan=False)), max_size=60), st.sampled_from(NoData))
def test_it_only_takes_steps_that_a_life_has(values: list[float | None], policy: NoData) -> None:
    rule = RuleSpec(1, "any", "load1", Operator.ABOVE, 1, 0, for_s=30, keep_s=30, no_data=policy)
    state = OK
    for _, new in life(rule, values):
        assert new in ALERT_MOVES[state]
        state = OK if new is RESOLVED else new
