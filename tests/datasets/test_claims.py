"""Claims of shards: who gets what, and what a dead owner leaves behind."""

from __future__ import annotations

import pytest

from datasets.claims import claim_shard, give_back, has_claimable
from datasets.ledger import Dispatch, commit
from datasets.models import Item, Job, Shard
from datasets.planning import SUSPECT_DEATHS
from datasets.states import ItemState, JobState, ShardState
from nodes.instances import expire
from tests.datasets.making import a_job, an_instance

pytestmark = pytest.mark.django_db


def test_it_gives_each_shard_to_one_owner_and_starts_the_job() -> None:
    job = a_job(20)
    first, second = an_instance(), an_instance()
    claims = [claim_shard(instance_id=one.id) for one in (first, second, first, second)]
    assert claims[3] is None
    assert {claim.shard_id for claim in claims if claim} == set(job.shards.values_list("id", flat=True))
    job.refresh_from_db()
    assert job.state == JobState.RUNNING
    assert job.started_at is not None


def test_a_claim_brings_the_rows_in_input_order() -> None:
    a_job(8)
    claim = claim_shard(instance_id=an_instance().id)
    assert claim is not None
    assert [work.index for work in claim.work] == list(range(8))
    assert claim.work[3].raw == '{"instruction": "say 3", "id": 3}'


def test_the_shard_of_a_living_owner_is_nobody_elses() -> None:
    a_job(8)
    assert claim_shard(instance_id=an_instance().id)
    assert claim_shard(instance_id=an_instance().id) is None
    assert not has_claimable()


def test_what_a_dead_owner_ran_is_suspect_and_counted_and_its_token_is_over() -> None:
    a_job(8)
    dead, heir = an_instance(), an_instance()
    claim = claim_shard(instance_id=dead.id)
    assert claim is not None
    ran = claim.work[2]
    commit(dispatches=[Dispatch(ran.item_id, claim.shard_id, claim.token, 1, 1, "m")], outcomes=[])
    expire(instance_id=dead.id)
    assert has_claimable()
    again = claim_shard(instance_id=heir.id)
    assert again is not None
    assert again.token == claim.token + 1
    assert [work.index for work in again.work if work.is_suspect] == [2]
    item = Item.objects.get(id=ran.item_id)
    assert (item.state, item.starts, item.interruptions, item.attempts) == (ItemState.PENDING, 1, 1, 0)


def test_an_item_that_workers_die_of_while_it_runs_alone_is_failed_with_that_reason() -> None:
    job = a_job(["{}"])
    for death in range(SUSPECT_DEATHS):
        victim = an_instance()
        claim = claim_shard(instance_id=victim.id)
        assert claim is not None, death
        alone = Dispatch(claim.work[0].item_id, claim.shard_id, claim.token, 1, 1, "m", is_alone=True)
        commit(dispatches=[alone], outcomes=[])
        expire(instance_id=victim.id)
    last = claim_shard(instance_id=an_instance().id)
    assert last is not None
    assert last.work == []
    item = Item.objects.get(job=job)
    assert (item.state, item.cause) == (ItemState.FAILED, "worker_died")
    assert Shard.objects.get(job=job).state == ShardState.DONE


def test_deaths_among_others_are_not_held_against_an_item() -> None:
    a_job(["{}"])
    for _ in range(SUSPECT_DEATHS + 1):
        victim = an_instance()
        claim = claim_shard(instance_id=victim.id)
        assert claim is not None
        commit(
            dispatches=[Dispatch(claim.work[0].item_id, claim.shard_id, claim.token, 1, 1, "m")], outcomes=[]
        )
        expire(instance_id=victim.id)
    claim = claim_shard(instance_id=an_instance().id)
    assert claim is not None
    assert claim.work[0].deaths_alone == 0


def test_a_shard_given_back_is_open_again_without_suspicion() -> None:
    a_job(8)
    owner = an_instance()
    claim = claim_shard(instance_id=owner.id)
    assert claim is not None
    commit(dispatches=[Dispatch(claim.work[0].item_id, claim.shard_id, claim.token, 1, 1, "m")], outcomes=[])
    assert give_back(shard_id=claim.shard_id, token=claim.token)
    assert not give_back(shard_id=claim.shard_id, token=claim.token)
    again = claim_shard(instance_id=an_instance().id)
    assert again is not None
    assert not any(work.is_suspect for work in again.work)
    assert Item.objects.filter(interruptions__gt=0).count() == 0


@pytest.mark.parametrize("state", [JobState.STOPPING, JobState.STOPPED, JobState.FAILED])
def test_nobody_claims_from_a_job_that_is_stopped(state: JobState) -> None:
    job = a_job(8)
    Job.objects.filter(id=job.id).update(state=state)
    assert claim_shard(instance_id=an_instance().id) is None


def test_jobs_share_the_fleet_the_one_with_fewer_running_shards_comes_next() -> None:
    old, new = a_job(40), a_job(40)
    owner = an_instance()
    turns = [claim_shard(instance_id=owner.id) for _ in range(4)]
    assert [claim.job_id for claim in turns if claim] == [old.id, new.id, old.id, new.id]


def test_it_leaves_out_the_jobs_it_is_told_to() -> None:
    old, new = a_job(8), a_job(8)
    owner = an_instance()
    claim = claim_shard(instance_id=owner.id, except_jobs={old.id})
    assert claim is not None
    assert claim.job_id == new.id
    assert claim_shard(instance_id=owner.id, only_jobs={new.id}) is None
