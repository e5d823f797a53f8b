"""The plans of a job: what becomes of a failed try, how it is cut, what runs twice at its tail."""

from __future__ import annotations

import pytest

from datasets.planning import (
    LOSSES_FORGIVEN,
    Action,
    Claimable,
    Idle,
    Running,
    after_error,
    job_order,
    may_share,
    shard_size,
    tail_reissues,
)
from inference import errors


@pytest.mark.parametrize(
    "kind", [errors.EngineTimeout, errors.EngineFailure, errors.StreamCut, errors.InvalidReply]
)
def test_a_retryable_fault_of_the_item_costs_an_attempt_until_they_are_spent(
    kind: type[errors.InferenceError],
) -> None:
    first = after_error(kind("x"), attempts=0, losses=0, allowed=2)
    assert (first.action, first.costs_attempt) == (Action.RETRY, True)
    assert first.delay_s > 0
    assert after_error(kind("x"), attempts=1, losses=0, allowed=2).action is Action.FAIL


@pytest.mark.parametrize("kind", [errors.ContextOverflow, errors.RequestRefused, errors.ReplyTooLarge])
def test_a_permanent_fault_fails_at_once(kind: type[errors.InferenceError]) -> None:
    verdict = after_error(kind("x"), attempts=0, losses=0, allowed=5)
    assert verdict.action is Action.FAIL
    assert verdict.reason == "trying again cannot help"


@pytest.mark.parametrize(
    "error",
    [
        errors.Unreachable("refused"),
        errors.EngineBusy("503"),
        errors.ModelMissing("gone"),
        errors.EngineRejectsUs("key"),
        errors.NodeLocked("locked"),
        errors.ConnectionLost("reset"),
        errors.SlotLost("heartbeat"),
    ],
)
def test_faults_of_the_node_and_of_ours_cost_no_attempt(error: errors.InferenceError) -> None:
    verdict = after_error(error, attempts=2, losses=0, allowed=3)
    assert (verdict.action, verdict.costs_attempt) == (Action.RETRY, False)


def test_a_busy_engine_is_left_alone_for_as_long_as_it_asks() -> None:
    busy = errors.EngineBusy("503", retry_after_s=7.0)
    assert after_error(busy, attempts=0, losses=0, allowed=3).rest_engine_s == 7.0


def test_an_engine_that_is_full_without_saying_for_how_long_loses_one_slot_for_a_moment() -> None:
    verdict = after_error(errors.EngineBusy("503"), attempts=0, losses=0, allowed=3)
    assert (verdict.rest_engine_s, verdict.rest_lane_s) == (0.0, 1.0)


def test_an_item_under_which_connections_break_again_and_again_is_held_responsible() -> None:
    lost = errors.ConnectionLost("reset")
    assert not after_error(lost, attempts=0, losses=LOSSES_FORGIVEN - 1, allowed=3).costs_attempt
    assert after_error(lost, attempts=0, losses=LOSSES_FORGIVEN, allowed=3).costs_attempt
    assert after_error(lost, attempts=2, losses=LOSSES_FORGIVEN + 2, allowed=3).action is Action.FAIL


def test_retries_wait_longer_each_time() -> None:
    delays = [
        after_error(errors.EngineFailure("x"), attempts=n, losses=0, allowed=99).delay_s for n in range(10)
    ]
    assert delays == sorted(delays)
    assert delays[0] < 1 < delays[-1] <= 30


def test_small_jobs_are_cut_so_that_workers_share_them_and_large_ones_into_the_largest_shards() -> None:
    assert shard_size(1, largest=64) == 8
    assert shard_size(320, largest=64) == 20
    assert shard_size(20_000, largest=64) == 64
    assert shard_size(20_000, largest=4) == 4


def test_the_job_with_the_fewest_running_shards_comes_next_the_older_of_equals() -> None:
    assert job_order([Claimable("b", 2), Claimable("c", 0), Claimable("a", 2)]) == ["c", "a", "b"]


def test_a_process_shares_slots_until_both_have_about_as_many() -> None:
    assert may_share(4, 0)
    assert may_share(3, 1)
    assert not may_share(2, 1)
    assert not may_share(1, 0)


def test_at_the_tail_an_idle_fast_engine_takes_over_what_it_would_end_sooner() -> None:
    chosen = tail_reissues([Running(7, 1, elapsed_s=1.0, expected_s=8.0)], [Idle(2, 1, 2.0)])
    assert [(one.item_id, one.engine_id) for one in chosen] == [(7, 2)]
    assert chosen[0].reason == "done there in 2.0 s, here in 7.0 s"


def test_at_the_tail_nothing_runs_twice_that_ends_sooner_where_it_is() -> None:
    assert tail_reissues([Running(7, 1, elapsed_s=7.0, expected_s=8.0)], [Idle(2, 1, 2.0)]) == []


def test_at_the_tail_a_stuck_item_is_tried_elsewhere_even_on_a_slower_engine() -> None:
    assert tail_reissues([Running(7, 1, elapsed_s=5.0, expected_s=2.0)], [Idle(2, 1, 4.0)])


def test_at_the_tail_the_oldest_come_first_one_copy_each_and_never_on_the_same_engine() -> None:
    running = [Running(1, 1, 3.0, 1.0), Running(2, 1, 9.0, 1.0), Running(3, 1, 9.9, 1.0, copies=2)]
    assert [one.item_id for one in tail_reissues(running, [Idle(2, 1, 1.0), Idle(1, 5, 1.0)])] == [2]
