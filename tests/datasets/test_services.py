"""What people do to jobs: made, stopped, resumed, tried again, cleaned up; each move once, with news."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pytest
from django_q.models import OrmQ

from accounts.models import User
from datasets import retries, services
from datasets.claims import Claim, claim_shard, give_back
from datasets.ledger import Dispatch, Outcome, commit
from datasets.models import Item, ItemOutput, Job, Shard, UploadPart
from datasets.moves import reopen
from datasets.options import JobOptions
from datasets.reconcile import counters_that_disagree, reconcile
from datasets.states import ItemState, JobState, ShardState
from dpl_site.lib.refusals import Refused
from inference import slots
from nodes import locks, news
from nodes.instances import expire
from nodes.models import NodeLock, ProcessInstance
from tests.datasets.making import a_job, an_engine, an_instance, an_uploaded_job, rows
from tests.datasets.test_uploads import an_upload

pytestmark = pytest.mark.django_db


def otto() -> int:
    return User.objects.get_or_create(username="otto")[0].pk


def create(count: int = 700, **options: object) -> Job:
    upload_id = an_upload(rows=count)
    return services.job_create(
        owner_id=otto(),
        upload_id=upload_id,
        name="poems",
        options=JobOptions(**options),  # type: ignore[arg-type]  # each test names real options
        rows=count,
    )


def told(job: Job) -> int:
    """How many pieces of news there are of a job."""
    return sum(one.object_id == job.id for one in news.since(0))


def work(claim: Claim, *states: ItemState) -> None:
    """Run the first items of a claim, one for each state that shall come of them."""
    engine = an_engine(f"engine of {claim.shard_id}.{claim.token}")
    pairs = list(zip(claim.work, states, strict=False))
    commit(
        dispatches=[
            Dispatch(item.item_id, claim.shard_id, claim.token, engine.id, engine.node_id, "m")
            for item, _ in pairs
        ],
        outcomes=[],
    )
    commit(
        dispatches=[],
        outcomes=[
            Outcome(
                item.item_id,
                claim.shard_id,
                claim.job_id,
                claim.token,
                state,
                attempts=3,
                losses=1,
                engine_id=engine.id,
                node_id=engine.node_id,
                model="m",
                reply="{}" if state is ItemState.SUCCEEDED else None,
                cause="timeout" if state is ItemState.FAILED else "",
                error="no answer" if state is ItemState.FAILED else "",
            )
            for item, state in pairs
            if state is not ItemState.RUNNING
        ],
    )


def claimed() -> Claim:
    claim = claim_shard(instance_id=an_instance().id)
    assert claim is not None
    return claim


S, F = ItemState.SUCCEEDED, ItemState.FAILED


def test_it_makes_a_job_and_calls_for_importer_and_workers() -> None:
    job = create(700, model="m", attempts=2)

    assert (job.state, job.total, job.name) == (JobState.IMPORTING, 700, "poems")
    assert JobOptions.from_json(Job.objects.get(id=job.id).options) == JobOptions(model="m", attempts=2)
    assert len(job.id) == 36
    assert OrmQ.objects.count() >= 2
    assert told(job) == 1


def test_it_cuts_a_job_to_its_limit_and_forgets_the_rest_of_the_file() -> None:
    job = create(700, limit=300)

    assert (job.total, UploadPart.objects.count()) == (300, 1)
    assert create(700, limit=9000).total == 700


def test_it_refuses_nodes_that_there_are_not_and_names_those_that_are() -> None:
    node = an_engine("fast").node

    with pytest.raises(Refused, match=rf"There is no node 99\. There are: {node.id} \(fast\)") as refusal:
        create(3, nodes=(node.id, 99))

    assert (refusal.value.status, refusal.value.detail) == (400, {"field": "nodes"})
    assert not Job.objects.exists()


def test_it_makes_no_job_of_an_upload_that_is_not_all_there() -> None:
    upload_id = an_upload(rows=3)

    with pytest.raises(Refused) as refusal:
        services.job_create(owner_id=otto(), upload_id=upload_id, name="x", options=JobOptions(), rows=4)

    assert refusal.value.status == 409


def test_it_stops_a_job_of_which_nothing_runs_at_once() -> None:
    job = a_job(10)
    before = told(job)

    stopped = services.job_stop(job_id=job.id)

    assert (stopped.state, stopped.stop_mode) == (JobState.STOPPED, "")
    assert stopped.finished_at is not None
    assert stopped.version == job.version + 2
    assert told(job) == before + 2


def test_it_lets_what_runs_finish_and_an_abort_hastens_it() -> None:
    job = a_job(10)
    claim = claimed()

    draining = services.job_stop(job_id=job.id)
    assert (draining.state, draining.stop_mode) == (JobState.STOPPING, "drain")
    assert services.job_stop(job_id=job.id).version == draining.version

    aborting = services.job_stop(job_id=job.id, mode="abort")
    assert (aborting.state, aborting.stop_mode, aborting.version) == (
        JobState.STOPPING,
        "abort",
        draining.version + 1,
    )
    assert services.job_stop(job_id=job.id, mode="drain").stop_mode == "abort"

    give_back(shard_id=claim.shard_id, token=claim.token)
    assert services.job_stop(job_id=job.id).state == JobState.STOPPED


def test_it_stops_at_once_when_all_that_ran_died() -> None:
    job = a_job(10)
    drain = an_instance()
    claim_shard(instance_id=drain.id)
    expire(instance_id=drain.id)

    assert services.job_stop(job_id=job.id).state == JobState.STOPPED


@pytest.mark.parametrize("state", [JobState.STOPPED, JobState.COMPLETED, JobState.FAILED])
def test_it_leaves_an_ended_job_as_it_is_when_told_to_stop(state: JobState) -> None:
    job = a_job(3)
    Job.objects.filter(id=job.id).update(state=state)

    stopped = services.job_stop(job_id=job.id, mode="abort")

    assert (stopped.state, stopped.version) == (state, job.version)


def test_it_refuses_a_way_of_stopping_that_there_is_not() -> None:
    with pytest.raises(Refused, match="use drain or abort"):
        services.job_stop(job_id=a_job(1).id, mode="gently")


@pytest.mark.parametrize("act", [services.job_stop, services.job_resume, services.job_retry_failed])
def test_it_says_that_there_is_no_such_job(act: object) -> None:
    with pytest.raises(Refused) as refusal:
        act(job_id="0193aaaa-0000-7000-8000-000000000000")  # type: ignore[operator]  # three services, one call

    assert (refusal.value.status, refusal.value.code) == (404, "unknown_job")


def test_it_resumes_a_stopped_job_where_it_stopped() -> None:
    job = a_job(10)
    work(claimed(), S, S)
    services.job_stop(job_id=job.id)
    Shard.objects.update(state=ShardState.QUEUED, owner=None)
    reconcile()
    OrmQ.objects.all().delete()

    resumed = services.job_resume(job_id=job.id)

    assert (resumed.state, resumed.finished_at, resumed.stop_mode) == (JobState.QUEUED, None, "")
    assert Item.objects.filter(state=S).count() == 2
    assert OrmQ.objects.count() >= 1


def test_it_goes_on_importing_when_rows_are_missing() -> None:
    job = an_uploaded_job(rows(10))
    services.job_stop(job_id=job.id)
    OrmQ.objects.all().delete()

    assert services.job_resume(job_id=job.id).state == JobState.IMPORTING
    called = {message.task["func"] for message in OrmQ.objects.all()}
    assert called == {"datasets.tasks.import_job", "datasets.tasks.drain"}


def test_it_resumes_a_job_that_failed_and_forgets_why() -> None:
    job = a_job(3)
    Job.objects.filter(id=job.id).update(state=JobState.FAILED, error="no node has the model")

    resumed = services.job_resume(job_id=job.id)

    assert (resumed.state, resumed.error) == (JobState.QUEUED, "")


def test_it_leaves_a_job_that_is_under_way_when_told_to_resume() -> None:
    job = a_job(3)

    assert services.job_resume(job_id=job.id).version == job.version


@pytest.mark.parametrize(
    ("state", "code"), [(JobState.STOPPING, "still_stopping"), (JobState.COMPLETED, "already_completed")]
)
def test_it_says_why_a_job_cannot_be_resumed(state: JobState, code: str) -> None:
    job = a_job(3)
    Job.objects.filter(id=job.id).update(state=state)

    with pytest.raises(Refused) as refusal:
        services.job_resume(job_id=job.id)

    assert (refusal.value.status, refusal.value.code) == (409, code)


def test_it_gives_failed_items_another_chance_and_keeps_the_others() -> None:
    job = a_job(20)
    while (claim := claim_shard(instance_id=an_instance().id)) is not None:
        work(claim, *(F if item.index % 5 == 0 else S for item in claim.work))
    assert Job.objects.get(id=job.id).state == JobState.COMPLETED
    ProcessInstance.objects.update(expires_ms=0)

    again = services.job_retry_failed(job_id=job.id)

    assert (again.state, again.finished_at) == (JobState.QUEUED, None)
    assert counters_that_disagree() == []
    assert Item.objects.filter(state=S).count() == ItemOutput.objects.count() == 16
    retried = Item.objects.filter(state=ItemState.PENDING)
    columns = ("index", "attempts", "losses", "cause", "error", "node", "finished_ms")
    reset: list[tuple[object, ...]] = sorted(retried.values_list(*columns))
    assert reset == [(index, 0, 0, "", "", None, None) for index in (0, 5, 10, 15)]
    assert set(retried.values_list("starts", flat=True)) == {1}
    assert OrmQ.objects.count() >= 1
    while (claim := claim_shard(instance_id=an_instance().id)) is not None:
        work(claim, *(S for _ in claim.work))
    assert Job.objects.get(id=job.id).state == JobState.COMPLETED
    assert Item.objects.filter(state=S).count() == 20
    assert counters_that_disagree() == []


def test_it_runs_an_item_alone_that_workers_died_of_before() -> None:
    job = a_job(3)
    work(claimed(), F, F, F)
    Item.objects.filter(index=1).update(cause="worker_died", deaths_alone=2)

    services.job_retry_failed(job_id=job.id)

    assert list(Item.objects.order_by("index").values_list("is_suspect", "deaths_alone")) == [
        (False, 0),
        (True, 0),
        (False, 0),
    ]


def test_it_fences_a_worker_that_still_has_such_a_shard_in_hand() -> None:
    job = a_job(8)
    claim = claimed()
    work(claim, F, ItemState.RUNNING)
    Job.objects.filter(id=job.id).update(state=JobState.FAILED)

    services.job_retry_failed(job_id=job.id)
    late = claim.work[1]
    outcome = Outcome(late.item_id, claim.shard_id, job.id, claim.token, S, attempts=0, losses=0, reply="{}")
    lost = commit(dispatches=[], outcomes=[outcome]).lost

    assert lost == {claim.shard_id}
    assert Shard.objects.get(id=claim.shard_id).token > claim.token
    assert set(Item.objects.values_list("state", flat=True)) == {ItemState.PENDING}
    assert counters_that_disagree() == []


def test_it_leaves_it_to_the_next_claim_what_a_dead_worker_was_doing() -> None:
    job = a_job(8)
    drain = an_instance()
    claim = claim_shard(instance_id=drain.id)
    assert claim is not None
    work(claim, F, ItemState.RUNNING)
    expire(instance_id=drain.id)
    services.job_stop(job_id=job.id)

    services.job_retry_failed(job_id=job.id)
    again = claimed()

    assert [item.index for item in again.work if item.is_suspect] == [1]
    assert len(again.work) == 8
    assert counters_that_disagree() == []


@pytest.mark.parametrize("state", [JobState.IMPORTING, JobState.QUEUED, JobState.RUNNING, JobState.STOPPING])
def test_it_does_not_retry_under_a_running_job(state: JobState) -> None:
    job = a_job(3)
    work(claimed(), F)
    Job.objects.filter(id=job.id).update(state=state)

    with pytest.raises(Refused, match=f"This job is {state}"):
        services.job_retry_failed(job_id=job.id)

    assert Item.objects.filter(state=F).count() == 1


def test_it_says_that_nothing_failed() -> None:
    job = a_job(3)
    work(claimed(), S, S, S)

    with pytest.raises(Refused) as refusal:
        services.job_retry_failed(job_id=job.id)

    assert (refusal.value.status, refusal.value.code) == (409, "nothing_failed")


def test_a_retry_that_is_cut_in_the_middle_leaves_a_job_that_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    job = a_job(24)
    while (claim := claim_shard(instance_id=an_instance().id)) is not None:
        work(claim, *(F for _ in claim.work))
    monkeypatch.setattr(retries, "SHARDS_AT_ONCE", 1)
    chunks: list[Sequence[int]] = []
    reopen_shards = retries._reopen_shards

    def cut(shard_ids: Sequence[int]) -> None:
        if chunks:
            raise KeyboardInterrupt
        chunks.append(shard_ids)
        reopen_shards(shard_ids)

    with monkeypatch.context() as patched:
        patched.setattr(retries, "_reopen_shards", cut)
        with pytest.raises(KeyboardInterrupt):
            services.job_retry_failed(job_id=job.id)

    assert Job.objects.get(id=job.id).state == JobState.QUEUED
    assert counters_that_disagree() == []
    while (claim := claim_shard(instance_id=an_instance().id)) is not None:
        work(claim, *(S for _ in claim.work))
    assert Job.objects.get(id=job.id).state == JobState.COMPLETED
    left = Item.objects.filter(state=F).count()
    assert 0 < left < 24
    services.job_retry_failed(job_id=job.id)
    assert Item.objects.filter(state=ItemState.PENDING).count() == left


def test_a_stop_ends_a_retry_that_is_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    job = a_job(24)
    while (claim := claim_shard(instance_id=an_instance().id)) is not None:
        work(claim, *(F for _ in claim.work))
    monkeypatch.setattr(retries, "SHARDS_AT_ONCE", 1)

    def stopped_between(job_id: str, old: Iterable[JobState]) -> bool:
        moved = reopen(job_id, old)
        services.job_stop(job_id=job_id)
        return moved

    monkeypatch.setattr(retries, "reopen", stopped_between)
    assert services.job_retry_failed(job_id=job.id).state == JobState.STOPPED
    assert 0 < Item.objects.filter(state=F).count() < 24


def test_it_cleans_up_all_jobs_their_locks_and_leases_and_leaves_what_is_peoples() -> None:
    running, waiting, done = a_job(8), a_job(8), a_job(1)
    work(claimed(), S)
    Job.objects.filter(id=done.id).update(state=JobState.COMPLETED)
    mine, theirs = an_engine("mine"), an_engine("theirs", slots=1)
    lock = {"reason": "", "ttl_s": 60.0, "actor": "x"}
    locks.lock_node(node_id=mine.node_id, by="job", owner="poems", job_id=running.id, **lock)  # type: ignore[arg-type]  # the rest is typed above
    locks.lock_node(node_id=theirs.node_id, by="person", owner="ada", **lock)  # type: ignore[arg-type]  # as above
    gone = an_instance()
    slots.claim(engine_ids=[theirs.id], instance_id=gone.id, work_class=slots.BATCH)
    slots.claim(engine_ids=[mine.id], instance_id=an_instance().id, work_class=slots.BATCH, limit=2)
    expire(instance_id=gone.id)

    assert services.cleanup_all(actor="ada") == {"jobs": 2, "leases": 3, "locks": 1}

    states = dict(Job.objects.values_list("id", "state"))
    assert (states[waiting.id], states[done.id]) == (JobState.STOPPED, JobState.COMPLETED)
    assert states[running.id] in (JobState.STOPPING, JobState.STOPPED)
    assert list(NodeLock.objects.values_list("owner", flat=True)) == ["ada"]
    assert ItemOutput.objects.count() == 1
    assert services.cleanup_all(actor="ada")["locks"] == 0
