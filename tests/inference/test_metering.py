"""Which numbers of the metrics a request raises, and under which labels."""

from __future__ import annotations

from inference.metering import MOST_MODELS, NONE, OTHER, Series, metered
from tests.inference.serving import a_record, attempt


def test_a_request_is_counted_by_model_node_and_outcome() -> None:
    raised = metered([a_record(), a_record(), a_record(outcome="timeout")], ())
    assert raised[Series("requests", "m", "fast", "ok")] == 2
    assert raised[Series("requests", "m", "fast", "timeout")] == 1


def test_tokens_and_times_are_counted() -> None:
    raised = metered(
        [a_record(ttft_ms=80, duration_ms=1_000), a_record(ttft_ms=400_000, duration_ms=1_001)], ()
    )
    assert raised[Series("tokens", "m", "fast", "prompt")] == 10
    assert raised[Series("tokens", "m", "fast", "completion")] == 14
    assert raised[Series("ttft_seconds", "m", "fast", "0.1")] == 1
    assert raised[Series("ttft_seconds", "m", "fast", "+Inf")] == 1
    assert raised[Series("ttft_seconds", "m", "fast", "sum")] == 400.08
    assert raised[Series("duration_seconds", "m", "fast", "1.0")] == 1  # a bound is part of its bucket


def test_failovers_count_where_they_failed_and_cancels_where_they_ran() -> None:
    tried = (attempt("dead", error="unreachable"), attempt("fast"))
    raised = metered([a_record(attempts=tried, outcome="cancelled", ttft_ms=None)], ())
    assert raised[Series("failovers", "m", "dead")] == 1
    assert raised[Series("cancels", "m", "fast")] == 1
    assert not [one for one in raised if one.name == "ttft_seconds"]


def test_a_name_that_no_engine_has_is_no_label() -> None:
    nowhere = attempt("", "", node_id=None, engine_id=None)
    raised = metered([a_record(model_asked="../../etc", attempts=(nowhere,), outcome="model_not_found")], ())
    raised |= metered([a_record(model_asked="x", attempts=(), outcome="invalid_json")], ())
    assert {(one.name, one.model, one.node) for one in raised} == {("requests", NONE, NONE)}


def test_beyond_the_limit_models_share_one_label() -> None:
    known = [f"m{number}" for number in range(MOST_MODELS - 1)]
    records = [a_record(attempts=(attempt(model=name),)) for name in ("new", "newer", "newest", "m0")]
    raised = metered(records, [*known, OTHER, NONE])
    counted = {one.model: count for one, count in raised.items() if one.name == "requests"}
    assert counted == {"new": 1, OTHER: 2, "m0": 1}
