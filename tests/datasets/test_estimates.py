"""How long a dataset would take: which figure counts for which engine, and what nobody knows."""

from __future__ import annotations

from datasets.estimates import Bench, Sample, estimate, seconds_on

FAST = Bench(1, 10, "fast", 4, tokens_per_second=50.0, seconds=9.0)
SLOW = Bench(2, 20, "slow", 1)


def test_what_was_tried_counts_before_what_was_measured_and_that_before_what_is_assumed() -> None:
    sample = Sample(3, 2.0, 10.0, 100.0, {1: 1.5})
    assert seconds_on(FAST, sample) == (1.5, "tried")
    assert seconds_on(FAST, Sample(3, 2.0, 10.0, 100.0)) == (2.0, "measured")
    assert seconds_on(FAST, Sample()) == (9.0, "measured")
    assert seconds_on(SLOW, sample) == (2.0, "assumed")
    assert seconds_on(SLOW, Sample()) == (None, "assumed")


def test_all_slots_of_all_engines_work_at_once() -> None:
    found = estimate(500, Sample(3, 2.0, 10.0, 100.0, {1: 1.0, 2: 1.0}), [FAST, SLOW])
    assert found["seconds"] == 100.0
    assert found["rate_per_s"] == 5.0
    assert [node["share"] for node in found["nodes"]] == [0.8, 0.2]
    assert found["tokens"] == {"prompt": 5_000, "completion": 50_000}


def test_one_row_takes_its_time_however_many_machines_there_are() -> None:
    assert estimate(1, Sample(3, 2.0, None, None, {1: 2.0}), [FAST])["seconds"] == 2.0


def test_nothing_is_said_when_nothing_is_known() -> None:
    found = estimate(100, Sample(), [SLOW])
    assert (found["seconds"], found["rate_per_s"], found["nodes"]) == (None, None, [])
    assert found["tokens"] == {"prompt": None, "completion": None}
    assert estimate(100, Sample(3, 1.0), [])["seconds"] is None
