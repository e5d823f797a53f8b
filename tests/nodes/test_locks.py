"""Locks on whole nodes: one at a time, by the database's clock, audited, and news."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection

from accounts.models import User
from dpl_site.lib.db import now_ms
from dpl_site.lib.refusals import Refused
from nodes import locks, news
from nodes.models import LockAudit, Node, NodeLock, NodeStatus
from nodes.selectors import standing_lock
from nodes.states import LockMirror


def lock(node: Node, owner: str = "otto", **changes: Any) -> NodeLock:
    asked: dict[str, Any] = {
        "by": locks.PERSON,
        "owner": owner,
        "reason": "training",
        "ttl_s": 60,
        "actor": owner,
    }
    return locks.lock_node(node_id=node.id, **(asked | changes))


def lock_for_job(node: Node, job_id: str) -> NodeLock:
    return lock(node, "my dataset", by=locks.JOB, job_id=job_id, actor="controller")


def run_out(node: Node) -> None:
    NodeLock.objects.filter(node=node).update(expires_ms=now_ms() - 1)


def put_on_agent(node: Node, *, left_ms: int = 60_000) -> None:
    told = {"id": "x", "owner": "nightly backup", "installation": None, "reason": "disk", "expires_at": None}
    text = json.dumps({**told, "expires_ms": now_ms() + left_ms})
    NodeStatus.objects.filter(node=node).update(foreign_lock=text)


def actions(node: Node) -> list[tuple[str, str, str]]:
    rows = LockAudit.objects.filter(node=node).order_by("id")
    return list(rows.values_list("action", "owner", "actor"))


def test_it_locks_a_free_node(fast: Node, people: dict[str, User]) -> None:
    before = now_ms()
    made = lock(fast, user_id=people["otto"].pk)

    standing = standing_lock(node_id=fast.id)
    assert standing is not None
    assert (standing.owner, standing.by, standing.reason) == ("otto", "person", "training")
    assert before + 60_000 <= made.expires_ms <= now_ms() + 60_000
    assert made.user == people["otto"]
    assert made.mirror == LockMirror.PENDING
    assert actions(fast) == [("locked", "otto", "otto")]


def test_it_refuses_a_locked_node_and_says_by_whom_why_and_until_when(fast: Node) -> None:
    lock(fast)
    with pytest.raises(locks.AlreadyLocked, match=r"locked by otto until .*Z \(training\)") as refused:
        lock(fast, "stan")
    assert refused.value.status == 409
    assert refused.value.detail is not None
    assert refused.value.detail["lock"]["owner"] == "otto"
    assert actions(fast) == [("locked", "otto", "otto")]


def test_it_says_that_a_job_holds_the_node(fast: Node) -> None:
    lock_for_job(fast, "job-1")
    with pytest.raises(locks.AlreadyLocked, match="the job my dataset"):
        lock(fast)


def test_it_replaces_a_lock_whose_time_is_up(fast: Node) -> None:
    first = lock(fast)
    run_out(fast)
    second = lock(fast, "stan")
    assert second.id != first.id
    assert NodeLock.objects.get(node=fast).owner == "stan"
    assert actions(fast) == [
        ("locked", "otto", "otto"),
        ("expired", "otto", "stan"),
        ("locked", "stan", "stan"),
    ]


def test_it_honours_a_lock_that_somebody_put_on_the_agent(fast: Node) -> None:
    put_on_agent(fast)
    with pytest.raises(locks.AlreadyLocked, match="nightly backup, on its agent, until") as refused:
        lock(fast)
    assert refused.value.lock.by == "agent"
    with pytest.raises(locks.AlreadyLocked):
        locks.unlock_node(node_id=fast.id, actor="ada", force=True)


def test_it_forgets_an_agents_lock_whose_time_is_up(fast: Node) -> None:
    put_on_agent(fast, left_ms=-1)
    lock(fast)
    standing = standing_lock(node_id=fast.id)
    assert standing is not None
    assert standing.by == "person"


def test_an_agents_lock_stands_before_ours(fast: Node) -> None:
    lock(fast)
    put_on_agent(fast)
    standing = standing_lock(node_id=fast.id)
    assert standing is not None
    assert standing.by == "agent"
    assert locks.unlock_node(node_id=fast.id, actor="otto", force=True) is True
    assert not NodeLock.objects.exists()


@pytest.mark.parametrize("ttl_s", [0, -5, 0.5, 31 * 86_400, float("nan"), float("inf")])
def test_it_refuses_a_time_out_of_bounds(fast: Node, ttl_s: float) -> None:
    with pytest.raises(Refused, match="from 1 second to 30 days") as refused:
        lock(fast, ttl_s=ttl_s)
    assert refused.value.status == 400


def test_it_refuses_a_node_that_is_not_there(fast: Node) -> None:
    Node.objects.filter(id=fast.id).update(archived_at="2026-11-21T10:00:00Z")
    with pytest.raises(Refused, match="There is no node") as refused:
        lock(fast)
    assert refused.value.status == 404


def test_it_renews_for_the_job_that_holds_the_node_only(fast: Node) -> None:
    lock_for_job(fast, "job-1")
    NodeLock.objects.update(expires_ms=now_ms() + 1_000)
    assert locks.renew_lock(node_id=fast.id, job_id="job-2", ttl_s=30) is False
    assert locks.renew_lock(node_id=fast.id, job_id="job-1", ttl_s=30) is True
    assert NodeLock.objects.get().expires_ms > now_ms() + 29_000
    assert actions(fast) == [("locked", "my dataset", "controller")]


def test_it_does_not_renew_what_has_run_out(fast: Node) -> None:
    lock_for_job(fast, "job-1")
    run_out(fast)
    assert locks.renew_lock(node_id=fast.id, job_id="job-1", ttl_s=30) is False
    assert standing_lock(node_id=fast.id) is None


def test_a_persons_renewal_is_audited(fast: Node) -> None:
    made = lock(fast)
    assert locks.renew_lock(node_id=fast.id, lock_id=made.id, ttl_s=600, reason="longer", actor="otto")
    assert NodeLock.objects.get().reason == "longer"
    assert actions(fast)[-1] == ("renewed", "otto", "otto")


def test_a_renewal_must_name_its_lock(fast: Node) -> None:
    with pytest.raises(ValueError, match="name the lock"):
        locks.renew_lock(node_id=fast.id, ttl_s=30)


def test_it_frees_ones_own_lock(fast: Node) -> None:
    lock(fast)
    assert locks.unlock_node(node_id=fast.id, actor="otto") is True
    assert standing_lock(node_id=fast.id) is None
    assert locks.unlock_node(node_id=fast.id, actor="otto") is False
    assert actions(fast) == [("locked", "otto", "otto"), ("unlocked", "otto", "otto")]


def test_it_frees_anothers_lock_by_force_only(fast: Node) -> None:
    lock(fast)
    with pytest.raises(locks.NotYourLock, match="otto's, not yours") as refused:
        locks.unlock_node(node_id=fast.id, actor="stan")
    assert refused.value.status == 403
    assert locks.unlock_node(node_id=fast.id, actor="ada", force=True) is True
    assert actions(fast)[-1] == ("unlocked", "otto", "ada")


def test_a_job_named_like_a_person_is_not_his(fast: Node) -> None:
    lock(fast, "otto", by=locks.JOB, job_id="job-1", actor="controller")
    with pytest.raises(locks.NotYourLock):
        locks.unlock_node(node_id=fast.id, actor="otto")


def test_it_frees_a_lock_by_its_id_and_no_other(fast: Node) -> None:
    made = lock(fast)
    assert locks.unlock_node(node_id=fast.id, actor="x", lock_id="0" * 32) is False
    assert locks.unlock_node(node_id=fast.id, actor="x", lock_id=made.id) is True


def test_it_frees_all_persons_and_jobs_locks_at_once(fast: Node, slow: Node) -> None:
    lock(fast)
    lock_for_job(slow, "job-1")
    assert locks.unlock_all(actor="ada") == 2
    assert locks.unlock_all(actor="ada") == 0
    assert actions(slow)[-1] == ("unlocked", "my dataset", "ada")


def test_it_frees_the_locks_of_one_job(fast: Node, slow: Node) -> None:
    lock(fast)
    lock_for_job(slow, "job-1")
    assert locks.job_ids_with_locks() == ["job-1"]
    assert locks.release_job_locks(job_id="", actor="controller") == 0
    assert locks.release_job_locks(job_id="job-1", actor="controller") == 1
    assert [row.owner for row in NodeLock.objects.all()] == ["otto"]


def test_it_expires_locks_by_the_databases_clock(fast: Node, slow: Node) -> None:
    lock(fast)
    lock(slow)
    run_out(fast)
    assert locks.expire_locks() == 1
    assert locks.expire_locks() == 0
    assert [row.node for row in NodeLock.objects.all()] == [slow]
    assert actions(fast)[-1] == ("expired", "otto", "controller")


def test_each_change_is_news_with_a_higher_version(fast: Node) -> None:
    before = news.last_id()
    lock(fast)
    locks.unlock_node(node_id=fast.id, actor="otto")
    told = news.since(before)
    assert [(one.topic, one.object_id, one.payload) for one in told] == [
        ("cluster", str(fast.id), "lock")
    ] * 2
    assert told[0].version < told[1].version


@pytest.mark.django_db(transaction=True)
def test_of_many_who_ask_at_once_one_gets_the_node(fast: Node) -> None:
    run_with = 8
    start = threading.Barrier(run_with)

    def attempt(number: int) -> bool:
        start.wait()
        try:
            lock(fast, f"person {number}")
        except locks.AlreadyLocked:
            return False
        finally:
            connection.close()
        return True

    lock(fast, "somebody before")
    run_out(fast)
    with ThreadPoolExecutor(run_with) as pool:
        got = list(pool.map(attempt, range(run_with)))

    assert got.count(True) == 1
    assert NodeLock.objects.count() == 1
    assert [row[0] for row in actions(fast)] == ["locked", "expired", "locked"]


def test_a_strangers_lock_on_the_agent_lets_nobody_free_anothers(fast: Node) -> None:
    lock(fast, "ada")
    put_on_agent(fast)

    with pytest.raises(locks.NotYourLock):
        locks.unlock_node(node_id=fast.id, actor="otto")
    assert NodeLock.objects.get(node=fast).owner == "ada"
    assert locks.unlock_node(node_id=fast.id, actor="ada")
    with pytest.raises(locks.AlreadyLocked):
        locks.unlock_node(node_id=fast.id, actor="ada")
