"""What a rule with a window is judged by."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from alerts.rules import NOTHING, WAITING, Measured, RuleSpec
from alerts.samples import PARTS, Samples
from alerts.states import Aggregation, Operator

KEY = (1, 7, "")


def rule(aggregation: Aggregation = Aggregation.AVG, window_s: int = 60) -> RuleSpec:
    return RuleSpec(
        1, "busy", "cpu_percent", Operator.ABOVE, 90, 80, aggregation=aggregation, window_s=window_s
    )


def fed(samples: Samples, values: Sequence[float | None], spec: RuleSpec, every_s: int = 2) -> Measured:
    """What is measured after these values, one each `every_s` seconds from 0 on."""
    found = NOTHING
    for number, value in enumerate(values):
        found = samples.measure(spec, KEY, value, number * every_s * 1000, 10_000)
    return found


def test_the_last_value_needs_no_window() -> None:
    samples = Samples()
    assert fed(samples, [1, 2, 3], rule(Aggregation.LAST, 0)) == Measured(3)
    assert len(samples) == 0


def test_a_window_that_has_just_begun_is_not_judged() -> None:
    assert fed(Samples(), [99.0] * 5, rule()) == WAITING


@pytest.mark.parametrize(
    ("aggregation", "expected"), [(Aggregation.AVG, 50), (Aggregation.MIN, 0), (Aggregation.MAX, 100)]
)
def test_a_full_window_is_summed_up(aggregation: Aggregation, expected: float) -> None:
    assert fed(Samples(), [0.0, 100.0] * 20, rule(aggregation)).value == pytest.approx(expected, abs=2)


def test_what_is_older_than_the_window_counts_no_more() -> None:
    found = fed(Samples(), [100.0] * 30 + [10.0] * 36, rule(Aggregation.MAX))
    assert found == Measured(10)


def test_a_short_gap_is_bridged_and_a_long_one_is_no_data() -> None:
    samples, spec = Samples(), rule()
    assert fed(samples, [50.0] * 40 + [None] * 3, spec) == Measured(50)
    assert fed(samples, [50.0] * 40 + [None] * 10, spec) == NOTHING


def test_after_a_gap_as_long_as_the_window_it_fills_anew() -> None:
    assert fed(Samples(), [50.0] * 40 + [None] * 40 + [99.0], rule()) == WAITING


def test_it_is_refilled_from_what_was_kept() -> None:
    samples, spec = Samples(), rule()
    samples.refill(spec, KEY, [(second * 1000, 50.0) for second in range(0, 60, 10)])
    assert samples.measure(spec, KEY, 50.0, 60_000, 15_000) == Measured(50)


def test_it_is_bounded_whatever_it_is_fed() -> None:
    samples = Samples(most=3)
    for node_id in range(9):
        for second in range(0, 400, 2):
            samples.measure(rule(), (1, node_id, ""), 50.0, second * 1000, 10_000)
    assert len(samples) == 3
    assert samples.refused > 0
    assert all(len(window._parts) <= PARTS + 1 for window in samples._windows.values())
    assert samples.measure(rule(), (1, 8, ""), 99.0, 0, 10_000) == Measured(99), (
        "the last value is better than none"
    )


def test_series_that_are_gone_are_forgotten() -> None:
    samples = Samples()
    fed(samples, [1.0], rule())
    samples.forget(before_ms=1)
    assert len(samples) == 0


def test_a_rule_whose_window_changed_begins_anew() -> None:
    samples = Samples()
    assert fed(samples, [50.0] * 40, rule()) == Measured(50)
    assert fed(samples, [50.0] * 40, rule(window_s=600)) == WAITING
