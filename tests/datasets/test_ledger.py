"""The fenced writes: what a token permits, what comes late, and that counters and rows agree."""

from __future__ import annotations

from dataclasses import replace

import pytest

from datasets.claims import Claim, claim_shard
from datasets.ledger import ATTEMPTS_KEPT, Dispatch, Outcome, commit, finish_job
from datasets.models import FailedAttempt, Item, ItemOutput, Job, Shard
from datasets.reconcile import counters_that_disagree
from datasets.states import ItemState, JobState, ShardState
from dpl_site.lib.packing import unpack
from nodes.instances import expire
from nodes.models import Event
from tests.datasets.making import a_job, an_engine, an_instance

pytestmark = pytest.mark.django_db


def claimed(count: int = 8) -> Claim:
    a_job(count)
    claim = claim_shard(instance_id=an_instance().id)
    assert claim is not None
    return claim


def dispatch(claim: Claim, place: int) -> Dispatch:
    return Dispatch(claim.work[place].item_id, claim.shard_id, claim.token, 1, 1, "m")


def success(claim: Claim, place: int, reply: str = '{"done":true}') -> Outcome:
    return Outcome(
        item_id=claim.work[place].item_id,
        shard_id=claim.shard_id,
        job_id=claim.job_id,
        token=claim.token,
        state=ItemState.SUCCEEDED,
        attempts=0,
        losses=0,
        engine_id=1,
        node_id=1,
        model="m",
        reply=reply,
        duration_ms=12,
        ttft_ms=3,
        prompt_tokens=5,
        completion_tokens=7,
    )


def run(claim: Claim, *places: int) -> None:
    commit(dispatches=[dispatch(claim, place) for place in places], outcomes=[])
    commit(dispatches=[], outcomes=[success(claim, place) for place in places])


def test_a_dispatch_is_counted_before_its_result_is_there() -> None:
    claim = claimed()
    commit(dispatches=[dispatch(claim, 0)], outcomes=[])
    item = Item.objects.get(id=claim.work[0].item_id)
    assert (item.state, item.starts, item.engine_id, item.model) == (ItemState.RUNNING, 1, 1, "m")


def test_a_result_is_recorded_with_its_reply_and_usage_and_counted_in_the_shard() -> None:
    claim = claimed()
    commit(dispatches=[dispatch(claim, 0)], outcomes=[])
    long = '{"text":"' + "好" * 2000 + '"}'
    commit(dispatches=[], outcomes=[success(claim, 0, long)])
    item = Item.objects.get(id=claim.work[0].item_id)
    assert (item.state, item.duration_ms, item.ttft_ms) == (ItemState.SUCCEEDED, 12, 3)
    assert (item.prompt_tokens, item.completion_tokens) == (5, 7)
    assert item.finished_ms
    output = ItemOutput.objects.get(item=item)
    assert unpack(output.text, output.packed) == long
    assert Shard.objects.get(id=claim.shard_id).succeeded == 1
    assert counters_that_disagree() == []


def test_a_late_result_changes_nothing_and_is_counted() -> None:
    claim = claimed()
    commit(dispatches=[dispatch(claim, 0)], outcomes=[])
    expire(instance_id=Shard.objects.get(id=claim.shard_id).owner_id)  # type: ignore[arg-type]  # it has one
    heir = claim_shard(instance_id=an_instance().id)
    assert heir is not None
    done = commit(dispatches=[dispatch(claim, 1)], outcomes=[success(claim, 0)])
    assert done.lost == {claim.shard_id}
    assert ItemOutput.objects.count() == 0
    assert not Item.objects.filter(state=ItemState.SUCCEEDED).exists()
    assert Item.objects.get(id=claim.work[1].item_id).starts == 0
    assert Job.objects.get(id=claim.job_id).late_results_refused == 1
    commit(dispatches=[replace(dispatch(heir, 0), token=heir.token)], outcomes=[])
    commit(dispatches=[], outcomes=[success(heir, 0)])
    assert ItemOutput.objects.count() == 1


def test_a_failed_try_goes_back_with_its_cause_and_what_it_cost() -> None:
    claim = claimed()
    commit(dispatches=[dispatch(claim, 0)], outcomes=[])
    again = replace(
        success(claim, 0),
        state=ItemState.PENDING,
        attempts=1,
        reply=None,
        cause="timeout",
        error="too slow",
    )
    commit(dispatches=[], outcomes=[again])
    item = Item.objects.get(id=claim.work[0].item_id)
    assert (item.state, item.attempts, item.cause, item.finished_ms) == (
        ItemState.PENDING,
        1,
        "timeout",
        None,
    )
    assert Shard.objects.get(id=claim.shard_id).failed == 0
    (kept,) = FailedAttempt.objects.filter(item=item)
    assert (kept.cause, kept.error, kept.node_id, kept.model) == ("timeout", "too slow", 1, "m")
    assert kept.ended_ms


def test_an_item_keeps_its_first_failed_attempts_and_no_more() -> None:
    claim = claimed()
    again = replace(success(claim, 0), state=ItemState.PENDING, reply=None, cause="unreachable")
    for _ in range(ATTEMPTS_KEPT + 3):
        commit(dispatches=[dispatch(claim, 0)], outcomes=[])
        commit(dispatches=[], outcomes=[again])
    run(claim, 0, 1)
    assert FailedAttempt.objects.filter(item_id=claim.work[0].item_id).count() == ATTEMPTS_KEPT
    assert FailedAttempt.objects.count() == ATTEMPTS_KEPT


def test_the_job_completes_with_its_last_item_failed_ones_too() -> None:
    claim = claimed(8)
    run(claim, *range(7))
    assert Job.objects.get(id=claim.job_id).state == JobState.RUNNING
    commit(dispatches=[dispatch(claim, 7)], outcomes=[])
    lost = replace(success(claim, 7), state=ItemState.FAILED, reply=None, cause="timeout", error="too slow")
    done = commit(dispatches=[], outcomes=[lost], tell=[claim.job_id])
    assert done.done == {claim.shard_id}
    shard = Shard.objects.get(id=claim.shard_id)
    assert (shard.state, shard.succeeded, shard.failed, shard.owner_id) == (ShardState.DONE, 7, 1, None)
    job = Job.objects.get(id=claim.job_id)
    assert (job.state, job.finished_at is not None) == (JobState.COMPLETED, True)
    assert Event.objects.filter(topic="job", object_id=job.id).exists()
    assert counters_that_disagree() == []


def test_a_job_with_rows_still_to_be_imported_does_not_complete() -> None:
    claim = claimed(8)
    run(claim, *range(7))
    Job.objects.filter(id=claim.job_id).update(imported=7)
    run(claim, 7)
    assert not finish_job(job_id=claim.job_id)
    Job.objects.filter(id=claim.job_id).update(imported=8)
    assert finish_job(job_id=claim.job_id)
    assert not finish_job(job_id=claim.job_id)


def test_wrong_counters_are_found() -> None:
    claim = claimed()
    an_engine("fast")
    run(claim, 0)
    Shard.objects.filter(id=claim.shard_id).update(succeeded=2)
    assert counters_that_disagree() == [claim.shard_id]


def test_a_result_that_finds_its_item_put_back_by_another_copys_error_is_recorded() -> None:
    claim = claimed()
    commit(dispatches=[dispatch(claim, 0)], outcomes=[])
    put_back = replace(success(claim, 0), state=ItemState.PENDING, reply=None, cause="timeout")
    commit(dispatches=[dispatch(claim, 0)], outcomes=[put_back])
    commit(dispatches=[], outcomes=[put_back])
    commit(dispatches=[], outcomes=[success(claim, 0)])
    assert Item.objects.get(id=claim.work[0].item_id).state == ItemState.SUCCEEDED
    assert ItemOutput.objects.count() == 1
    assert counters_that_disagree() == []


def test_a_commit_that_is_repeated_counts_nothing_twice() -> None:
    claim = claimed()
    commit(dispatches=[dispatch(claim, 0), dispatch(claim, 1)], outcomes=[])
    lost = replace(success(claim, 0), state=ItemState.FAILED, reply=None, cause="timeout")
    for _ in range(2):
        commit(dispatches=[], outcomes=[lost, success(claim, 1)])
    shard = Shard.objects.get(id=claim.shard_id)
    assert (shard.succeeded, shard.failed) == (1, 1)
    assert counters_that_disagree() == []
