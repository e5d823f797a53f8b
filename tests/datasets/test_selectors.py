"""What a job's status tells, and what it costs to ask."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
import uuid6
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.authentication import Principal
from accounts.models import User
from accounts.roles import scopes_of
from datasets import selectors, statistics
from datasets.models import Item, Job, Shard
from datasets.states import ItemState, JobState, ShardState
from dpl_site.lib.clock import iso
from dpl_site.lib.refusals import Refused
from tests.datasets.making import an_engine

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)
NOW_MS = round(NOW.timestamp() * 1000)


@pytest.fixture(autouse=True)
def at_ten(monkeypatch: pytest.MonkeyPatch) -> None:
    """The database's clock stands still."""
    monkeypatch.setattr(selectors, "now_ms", lambda: NOW_MS)


def otto() -> User:
    return User.objects.get_or_create(username="otto")[0]


def a_running_job(**fields: Any) -> Job:
    """A job that started two minutes ago."""
    job = Job.objects.create(
        id=str(uuid6.uuid7()),
        owner=otto(),
        name="poems",
        **{"total": 10, "imported": 10, "state": JobState.RUNNING} | fields,
    )
    Job.objects.filter(id=job.id).update(started_at=fields.get("started_at", NOW - timedelta(minutes=2)))
    return Job.objects.select_related("owner").get(id=job.id)


def with_items(job: Job, count: int, describe: Callable[[int], dict[str, Any]], *, size: int = 64) -> None:
    """Items as `describe(index)` says, in shards whose counters agree."""
    for first in range(0, count, size):
        rows = [describe(index) for index in range(first, min(first + size, count))]
        states = [row.get("state") for row in rows]
        shard = Shard.objects.create(
            job=job,
            index=first,
            first_index=first,
            size=len(rows),
            state=ShardState.DONE,
            succeeded=states.count(ItemState.SUCCEEDED),
            failed=states.count(ItemState.FAILED),
        )
        Item.objects.bulk_create(
            Item(job=job, shard=shard, index=first + place, **row) for place, row in enumerate(rows)
        )


def done(
    node_id: int, *, ago_s: float, took_s: float = 2.0, tokens: int = 100, **fields: Any
) -> dict[str, Any]:
    """A successful item of a node."""
    return {
        "state": ItemState.SUCCEEDED,
        "node_id": node_id,
        "finished_ms": NOW_MS - round(ago_s * 1000),
        "duration_ms": round(took_s * 1000),
        "prompt_tokens": 10,
        "completion_tokens": tokens,
    } | fields


def in_turn(node_ids: Sequence[int], index: int) -> dict[str, Any]:
    """A successful item of the node whose turn it is."""
    return done(node_ids[index % len(node_ids)], ago_s=index % 120)


def test_it_tells_how_far_a_job_is_from_the_shards_counters() -> None:
    job = a_running_job()
    failed = {"state": ItemState.FAILED, "cause": "timeout"}
    with_items(job, 10, lambda index: done(1, ago_s=1) if index < 6 else failed if index < 8 else {}, size=4)

    status = selectors.status(job)

    assert status == {
        "job_id": job.id,
        "name": "poems",
        "owner": "otto",
        "model": "auto",
        "dry_run": False,
        "status": "running",
        "error": None,
        "total": 10,
        "succeeded": 6,
        "failed": 2,
        "done": 8,
        "progress": 0.8,
        "importing": None,
        "created_at": iso(job.created_at),
        "finished_at": None,
    }


def test_it_says_how_much_of_the_file_is_imported() -> None:
    job = a_running_job(state=JobState.IMPORTING, imported=3)

    assert selectors.status(job)["importing"] == {"imported": 3, "total": 10}


def test_it_takes_the_rate_over_the_last_minute_and_derives_the_time_left() -> None:
    job = a_running_job(total=200)
    with_items(job, 60, lambda index: done(1, ago_s=59 if index < 30 else 90, tokens=50))

    detail = selectors.detailed_status(job)

    assert (detail["rate_per_s"], detail["tokens_per_second"]) == (0.5, 25.0)
    assert detail["eta_s"] == 280.0
    assert detail["duration_s"] == 120.0


def test_it_takes_the_rate_over_the_time_since_the_first_item_while_that_is_less_than_a_minute() -> None:
    job = a_running_job(total=40, started_at=NOW - timedelta(seconds=10))
    with_items(job, 20, lambda index: done(1, ago_s=3, took_s=5))

    detail = selectors.detailed_status(job)

    assert (detail["rate_per_s"], detail["eta_s"]) == (2.5, 8.0)


def test_it_does_not_measure_a_resumed_job_by_the_time_it_stood() -> None:
    job = a_running_job(total=80, started_at=NOW - timedelta(hours=1))
    with_items(job, 40, lambda index: done(1, ago_s=3000 if index < 20 else 1, took_s=4))

    assert selectors.detailed_status(job)["rate_per_s"] == 4.0


def test_it_takes_the_rate_of_an_ended_job_over_all_of_it_and_tells_no_time_left() -> None:
    job = a_running_job(state=JobState.COMPLETED)
    job.finished_at = NOW - timedelta(seconds=80)
    with_items(job, 10, lambda index: done(1, ago_s=100))

    detail = selectors.detailed_status(job)

    assert (detail["duration_s"], detail["rate_per_s"], detail["eta_s"]) == (40.0, 0.25, None)


def test_it_tells_for_each_node_what_it_did() -> None:
    fast, slow = an_engine("fast", slots=2).node, an_engine("slow", slots=1).node
    job = a_running_job(total=103)

    def describe(index: int) -> dict[str, Any]:
        if index < 100:
            took_s = (index + 1) / 10
            return done(fast.id, ago_s=10.1 - took_s, took_s=took_s)
        if index == 100:
            return done(slow.id, ago_s=0, took_s=20, tokens=300)
        if index == 101:
            return {"state": ItemState.RUNNING, "node_id": slow.id}
        return {"state": ItemState.FAILED, "node_id": slow.id, "finished_ms": NOW_MS, "cause": "timeout"}

    with_items(job, 103, describe)

    first, second = selectors.detailed_status(job)["nodes"]

    assert (first["name"], first["succeeded"], first["failed"], first["running"]) == ("fast", 100, 0, 0)
    assert (first["p50_s"], first["p95_s"], first["p99_s"]) == (5.0, 9.5, 9.9)
    assert first["share"] == pytest.approx(0.9901)
    assert first["tokens_per_second"] == pytest.approx(10000 / 10.1, rel=1e-3)
    # 505 s of work on two slots in ten seconds: it was never idle.
    assert first["idle_s"] == 0.0
    assert (second["name"], second["succeeded"], second["failed"], second["running"]) == ("slow", 1, 1, 1)
    assert (second["p50_s"], second["idle_s"]) == (20.0, 0.0)


def test_it_counts_the_time_in_which_no_slot_of_a_node_worked_as_idle() -> None:
    node = an_engine("fast", slots=2).node
    job = a_running_job()
    with_items(job, 4, lambda index: done(node.id, ago_s=30, took_s=10))

    # From the first start, 40 s ago, to now; 40 s of work on two slots are 20 s of them.
    assert selectors.detailed_status(job)["nodes"][0]["idle_s"] == 20.0


def test_it_takes_percentiles_from_the_latest_items(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics, "SAMPLE", 10)
    job = a_running_job(total=100)
    with_items(job, 100, lambda index: done(1, ago_s=index, took_s=1 if index < 10 else 99))

    assert selectors.detailed_status(job)["nodes"][0]["p99_s"] == 1.0


def test_it_groups_errors_by_cause_and_says_which_are_worth_a_retry() -> None:
    job = a_running_job()
    causes = ["timeout", "timeout", "context_length", "worker_died"]
    with_items(
        job,
        10,
        lambda index: (
            {"state": ItemState.FAILED, "cause": causes[index], "error": f"because {causes[index]}"}
            if index < 4
            else {}
        ),
    )

    assert selectors.detailed_status(job)["errors"] == [
        {"cause": "timeout", "count": 2, "example": "because timeout", "retryable": True},
        {"cause": "context_length", "count": 1, "example": "because context_length", "retryable": False},
        {"cause": "worker_died", "count": 1, "example": "because worker_died", "retryable": False},
    ]


def test_it_counts_what_was_started_again_because_of_a_kill() -> None:
    job = a_running_job()
    with_items(job, 3, lambda index: done(1, ago_s=1, interruptions=index))

    assert selectors.detailed_status(job)["restarted_after_kill"] == 3


def test_it_tells_of_a_job_of_which_nothing_ran_yet() -> None:
    job = a_running_job(state=JobState.QUEUED, started_at=None)

    detail = selectors.detailed_status(job)

    assert (detail["pending"], detail["running"], detail["nodes"], detail["errors"]) == (10, 0, [], [])
    assert (detail["duration_s"], detail["rate_per_s"], detail["eta_s"]) == (None, 0.0, None)
    assert detail["tokens"] == {"prompt": 0, "completion": 0}


def test_it_asks_the_same_few_statements_however_many_items_and_nodes_there_are() -> None:
    statements = []
    for count, nodes in ((5, 1), (500, 7)):
        job = a_running_job(total=count)
        ids = [an_engine(f"node {nodes}.{number}").node_id for number in range(nodes)]
        with_items(job, count, partial(in_turn, ids))
        with CaptureQueriesContext(connection) as queries:
            selectors.detailed_status(job)
        statements.append(len(queries))
        with CaptureQueriesContext(connection) as queries:
            selectors.status(job)
        assert len(queries) == 1

    assert statements == [6, 6]


def test_what_grows_with_a_job_is_read_from_its_index_alone() -> None:
    if connection.vendor != "sqlite":
        pytest.skip("PostgreSQL reads small tables whole, whatever index there is")
    ids = [an_engine(f"n{number}").node_id for number in range(4)]
    job = a_running_job(total=2_000)
    with_items(job, 2_000, partial(in_turn, ids))
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")  # as PostgreSQL does by itself
    with CaptureQueriesContext(connection) as queries:
        selectors.detailed_status(job)

    statements = [query["sql"] for query in queries if '"datasets_item"' in query["sql"]]
    assert statements
    for statement in statements:
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN QUERY PLAN {statement}")
            plan = "\n".join(row[-1] for row in cursor.fetchall())
        assert "COVERING INDEX items_by_node" in plan


def test_it_shows_people_their_own_jobs_and_admins_all() -> None:
    job = a_running_job()

    def seen_by(user_id: int, role: str) -> Job:
        return selectors.job_for(Principal(user_id, "x", role, scopes_of(role)), job.id)

    assert seen_by(job.owner_id, "operator") == job
    assert seen_by(job.owner_id, "viewer") == job
    assert seen_by(job.owner_id + 1, "admin") == job
    with pytest.raises(Refused) as refusal:
        seen_by(job.owner_id + 1, "operator")
    assert (refusal.value.status, refusal.value.code) == (404, "unknown_job")


@pytest.mark.parametrize("job_id", ["", "nope", "x" * 500, "\x00", "0193aaaa-0000-7000-8000-000000000000"])
def test_it_says_that_there_is_no_such_job(job_id: str) -> None:
    with pytest.raises(Refused) as refusal:
        selectors.job_for(Principal(1, "x", "admin", scopes_of("admin")), job_id)

    assert (refusal.value.status, refusal.value.code) == (404, "unknown_job")
