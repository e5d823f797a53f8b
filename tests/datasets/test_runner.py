"""A drain at work on real (simulated) engines over real HTTP: N in = N out, faults, stops, the tail."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator

import pytest

from datasets import filling
from datasets.export import export_page
from datasets.models import Item, Job, Shard
from datasets.reconcile import counters_that_disagree, reconcile
from datasets.runner import Drain
from datasets.services import job_stop
from datasets.states import ItemState, JobState
from inference.models import EngineSpeed, EngineStatus, Slot, SlotWaiter
from inference.slots import INTERACTIVE, wait
from nodes.instances import Heartbeat
from tests.datasets.making import a_job, an_engine
from tests.engines.simulated import SimulatedEngine

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def fast() -> Iterator[SimulatedEngine]:
    with SimulatedEngine(latency_ms=5, tokens_per_second=0, slots=4, echo=True) as engine:
        yield engine


@pytest.fixture
def slow() -> Iterator[SimulatedEngine]:
    with SimulatedEngine(latency_ms=40, tokens_per_second=0, slots=2, echo=True) as engine:
        yield engine


def drain() -> str:
    """One drain in this process, until nothing is left."""
    heartbeat = Heartbeat(kind="drain").start()
    try:
        return Drain(heartbeat, linger_s=0.3).run()
    finally:
        heartbeat.stop()


def in_thread(service: object, **given: object) -> None:
    """Call a service from a timer's thread and close its connection."""
    from django.db import connection

    try:
        service(**given)  # type: ignore[operator]  # any service
    finally:
        connection.close()


def results(job: Job) -> list[dict[str, object]]:
    """All rows of a job as people download them."""
    text, after = "", -1
    while True:
        page, last = export_page(job_id=job.id, after_index=after, form="jsonl")
        text += page.decode()
        if last is None:
            return [json.loads(line) for line in text.splitlines()]
        after = last


def answer(row: dict[str, object]) -> str:
    """The text that a row came back with."""
    output = row["model_output"]
    assert isinstance(output, dict), row
    message = output.get("message") or output["choices"][0]["message"]
    return str(message["content"])


def test_every_item_comes_back_once_in_order_under_its_own_input(
    fast: SimulatedEngine, slow: SimulatedEngine
) -> None:
    an_engine("fast", fast.url, slots=4)
    an_engine("slow", slow.url, slots=2)
    job = a_job(300)
    drain()
    job.refresh_from_db()
    assert job.state == JobState.COMPLETED
    rows = results(job)
    assert [row["id"] for row in rows] == list(range(300))
    assert [answer(row) for row in rows] == [f"say {index}" for index in range(300)]
    assert counters_that_disagree() == []
    assert Slot.objects.filter(holder__isnull=False).count() == 0
    by_node = [Item.objects.filter(job=job, node__name=name).count() for name in ("fast", "slow")]
    assert by_node[0] > 2 * by_node[1] > 0


@pytest.mark.slow
def test_an_openai_engine_is_streamed_and_its_reply_collected() -> None:
    with SimulatedEngine(latency_ms=1, tokens_per_second=0, slots=4, echo=True, dialect="openai") as engine:
        an_engine("fast", engine.url, kind="openai", slots=4)
        job = a_job(20)
        drain()
    assert [answer(row) for row in results(job)] == [f"say {index}" for index in range(20)]
    item = Item.objects.filter(job=job).first()
    assert item is not None
    assert item.completion_tokens
    assert item.ttft_ms is not None


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["refuse", "503", "500", "cut", "no-terminator"])
def test_faults_are_tried_again_and_nothing_is_lost(
    fast: SimulatedEngine, slow: SimulatedEngine, fault: str
) -> None:
    an_engine("fast", fast.url, slots=4)
    an_engine("slow", slow.url, slots=2)
    fast.fault(fault, 0.1)
    job = a_job(80, attempts=8)
    drain()
    rows = results(job)
    assert [answer(row) for row in rows] == [f"say {index}" for index in range(80)]
    assert counters_that_disagree() == []


def test_an_item_that_fails_for_good_keeps_its_place_and_says_why(fast: SimulatedEngine) -> None:
    an_engine("fast", fast.url, slots=4)
    rows_in = [json.dumps({"instruction": f"say {n}" + ("[[sim:500]]" if n == 3 else "")}) for n in range(8)]
    job = a_job(rows_in, attempts=2)
    drain()
    job.refresh_from_db()
    assert job.state == JobState.COMPLETED
    broken = results(job)[3]["model_output"]
    assert isinstance(broken, dict)
    assert broken["code"] == "engine_error"
    item = Item.objects.get(job=job, index=3)
    assert (item.state, item.attempts, item.starts) == (ItemState.FAILED, 2, 2)


@pytest.mark.slow
def test_a_machine_that_is_pulled_out_costs_no_item_an_attempt(slow: SimulatedEngine) -> None:
    with SimulatedEngine(latency_ms=60, tokens_per_second=0, slots=4, echo=True) as pulled:
        an_engine("fast", pulled.url, slots=4)
        an_engine("slow", slow.url, slots=2)
        job = a_job(150)
        threading.Timer(0.7, pulled.kill).start()
        drain()
    assert [answer(row) for row in results(job)] == [f"say {index}" for index in range(150)]
    assert not Item.objects.filter(job=job, attempts__gt=0).exists()
    assert Item.objects.filter(job=job, node__name="slow").exists()
    assert EngineStatus.objects.get(engine__node__name="fast").breaker_open_ms is not None


def test_a_stop_lets_what_runs_finish_and_keeps_it(slow: SimulatedEngine) -> None:
    an_engine("slow", slow.url, slots=2)
    job = a_job(200)
    threading.Timer(1.0, lambda: in_thread(job_stop, job_id=job.id, mode="drain")).start()
    drain()
    reconcile()
    job.refresh_from_db()
    assert job.state == JobState.STOPPED
    done = Item.objects.filter(job=job, state=ItemState.SUCCEEDED).count()
    assert 0 < done < 200
    assert not Item.objects.filter(job=job, state=ItemState.RUNNING).exists()
    assert slow.stats()["cancelled"] == 0
    assert counters_that_disagree() == []


@pytest.mark.slow
def test_an_abort_cuts_what_runs() -> None:
    with SimulatedEngine(latency_ms=20_000, slots=2, echo=True) as engine:
        an_engine("slow", engine.url, slots=2)
        job = a_job(10)
        threading.Timer(1.0, lambda: in_thread(job_stop, job_id=job.id, mode="abort")).start()
        started = time.monotonic()
        drain()
        assert time.monotonic() - started < 10
        assert engine.stats()["cancelled"] == 2
    reconcile()
    job.refresh_from_db()
    assert job.state == JobState.STOPPED
    assert not Item.objects.filter(job=job).exclude(state=ItemState.PENDING).exists()
    assert not Shard.objects.filter(job=job, owner__isnull=False).exists()


@pytest.mark.slow
def test_at_the_tail_an_idle_engine_takes_over_what_a_stuck_one_has(fast: SimulatedEngine) -> None:
    with SimulatedEngine(latency_ms=15_000, slots=1, echo=True) as stuck:
        an_engine("fast", fast.url, slots=2)
        slow = an_engine("slow", stuck.url, slots=1)
        EngineSpeed.objects.create(engine=slow, model="m", tokens_per_second=10, seconds_per_request=0.5)
        job = a_job(40)
        started = time.monotonic()
        drain()
        assert time.monotonic() - started < 10
    assert [answer(row) for row in results(job)] == [f"say {index}" for index in range(40)]
    assert Item.objects.filter(job=job, starts=2).count() == 1


@pytest.mark.slow
def test_two_jobs_share_the_fleet(slow: SimulatedEngine) -> None:
    an_engine("slow", slow.url, slots=2)
    first, second = a_job(60), a_job(20)
    drain()
    ended = {job.id: Job.objects.get(id=job.id).finished_at for job in (first, second)}
    assert ended[second.id] < ended[first.id]  # type: ignore[operator]  # both have ended


def test_an_item_that_failed_on_the_best_engine_is_tried_on_another(
    fast: SimulatedEngine, slow: SimulatedEngine
) -> None:
    for name, engine, slots, seconds in (("fast", fast, 8, 0.01), ("slow", slow, 2, 5.0)):
        made = an_engine(name, engine.url, slots=slots)
        EngineSpeed.objects.create(
            engine=made, model="m", tokens_per_second=10, seconds_per_request=seconds, samples=99
        )
    fast.fault("500", 1.0)
    job = a_job(3, attempts=4)
    started = time.monotonic()
    drain()
    assert time.monotonic() - started < 10
    assert [answer(row) for row in results(job)] == ["say 0", "say 1", "say 2"]
    assert set(Item.objects.filter(job=job).values_list("node__name", flat=True)) == {"slow"}


def test_an_engine_on_trial_gets_one_item_until_it_has_answered() -> None:
    with SimulatedEngine(latency_ms=700, tokens_per_second=0, slots=4, echo=True) as engine:
        broken = an_engine("broken", engine.url, slots=4)
        EngineStatus.objects.filter(engine=broken).update(breaker_open_ms=1, breaker_reason="it hung")
        job = a_job(4)
        drain()

    assert Job.objects.get(id=job.id).state == JobState.COMPLETED
    assert EngineStatus.objects.get(engine=broken).breaker_open_ms is None
    runs = sorted((item.finished_ms or 0, item.duration_ms or 0) for item in Item.objects.all())
    first_end, _ = runs[0]
    assert all(end - took >= first_end for end, took in runs[1:])


def test_batch_work_goes_on_although_interactive_requests_wait_all_the_time(
    fast: SimulatedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filling, "AGE_S", 0.1)
    an_engine("fast", fast.url, slots=4)
    web = Heartbeat(kind="web").start()
    wait(instance_id=web.id, work_class=INTERACTIVE)
    job = a_job(3)
    try:
        drain()
    finally:
        web.stop()
    job.refresh_from_db()
    assert job.state == JobState.COMPLETED
    assert not SlotWaiter.objects.exclude(work_class=INTERACTIVE).exists()
