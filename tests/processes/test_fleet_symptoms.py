"""What keeps a fleet from working as well as it could, each with what to do."""

from __future__ import annotations

import copy
import json
import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from datasets.models import Job
from dpl_site.lib.clock import utc_now
from dpl_site.lib.db import now_ms
from dpl_site.processes import diagnosis
from dpl_site.processes.findings import Finding
from dpl_site.processes.fleet_symptoms import FLEET_SYMPTOMS, LONG_WAIT_MS
from inference.models import EngineModel, EngineStatus, GatewayProcess, SlotWaiter
from nodes import locks
from nodes.models import Node, NodeLock, NodeStatus
from nodes.states import LockMirror
from tests.datasets.making import a_job, an_engine, an_instance
from tests.nodes.told import STATUS

pytestmark = pytest.mark.django_db


def findings() -> list[Finding]:
    """All of them."""
    return [finding for examine in FLEET_SYMPTOMS for finding in examine()]


def the_one() -> Finding:
    """The only one."""
    (one,) = findings()
    return one


def a_node(
    name: str = "n1", url: str = "http://10.0.0.5:8001", *, has_token: bool = True, **changes: Any
) -> Node:
    """A node whose agent answered just now."""
    node = Node.objects.create(name=name, monitor_base_url=url, agent_token="t" if has_token else "")
    reading = json.dumps(copy.deepcopy(STATUS) | changes)
    NodeStatus.objects.create(node=node, state="online", reading=reading, sampled_at=utc_now())
    return node


def test_nothing_is_said_where_all_is_well() -> None:
    an_engine("n0")
    a_node()
    assert findings() == []


def test_an_agent_that_needs_no_token_is_a_risk() -> None:
    a_node("n1", has_token=False)
    assert "DPL_AGENT_TOKEN" in the_one().what_to_do


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "localhost"])
def test_an_agent_on_this_machine_needs_none(host: str) -> None:
    a_node("n1", f"http://{host}:8001", has_token=False)
    assert findings() == []


@pytest.mark.parametrize(
    ("version", "is_behind"), [("0.0.9", True), ("0.1.0", False), ("0.10.0", False), ("dev", False)]
)
def test_an_agent_of_an_older_release_is_named(version: str, is_behind: bool) -> None:
    a_node(agent_version=version)
    assert [version in finding.message for finding in findings()] == [True] * is_behind


def test_an_engine_that_does_not_work_is_named_with_its_reason_and_since_when() -> None:
    an_engine("n1")
    EngineStatus.objects.update(is_online=False, reason="nothing listens at 10.0.0.5:11434")
    assert "nothing listens" in the_one().message
    assert the_one().since


def test_the_engines_of_a_node_that_is_offline_are_not_named_besides() -> None:
    engine = an_engine("n1")
    NodeStatus.objects.create(node=engine.node, state="offline")
    EngineStatus.objects.update(is_online=False)
    assert findings() == []


def test_an_engine_without_a_model_in_memory_is_named_with_the_path_that_loads_one() -> None:
    an_engine("n1")
    EngineModel.objects.update(is_resident=False)
    assert "/api/models/start/" in the_one().what_to_do


def test_readings_that_stopped_while_a_controller_lives_are_an_error() -> None:
    a_node()
    NodeStatus.objects.update(sampled_at=utc_now() - timedelta(minutes=5))
    assert findings() == []  # without a controller that is what is wrong, and is said elsewhere
    an_instance("controller")
    assert (the_one().severity, the_one().subject) == ("error", "controller")


def test_a_lock_that_its_agent_does_not_hold_is_named() -> None:
    node = a_node()
    locks.lock_node(node_id=node.id, by="person", owner="ada", reason="", ttl_s=60, actor="ada")
    assert findings() == []
    NodeLock.objects.update(mirror=LockMirror.UNMIRRORED)
    assert "ada" in the_one().message


def test_a_job_of_which_nothing_comes_is_named_with_the_reason(settings: Settings) -> None:
    settings.DPL_ITEM_TIMEOUT_S = 1.0
    job = a_job(3)
    assert findings() == []
    long_ago = utc_now() - timedelta(hours=1)
    Job.objects.update(created_at=long_ago, started_at=long_ago)
    assert "no engine" in the_one().message
    assert the_one().subject == f"job {job.id}"
    job.items.filter(index=0).update(state="succeeded", finished_ms=now_ms())
    assert findings() == []


def test_a_long_queue_is_named_before_it_turns_requests_away(settings: Settings) -> None:
    settings.DPL_QUEUE_MOST = 10
    process = GatewayProcess.objects.create(id=uuid.uuid4(), instance=an_instance("web"), waiting=4)
    assert findings() == []
    GatewayProcess.objects.filter(id=process.id).update(waiting=5)
    assert "5 requests wait" in the_one().message


def test_people_who_wait_long_are_named() -> None:
    waiter = SlotWaiter.objects.create(work_class="interactive", owner=an_instance("web"), since_ms=now_ms())
    assert findings() == []
    SlotWaiter.objects.filter(id=waiter.id).update(since_ms=now_ms() - LONG_WAIT_MS - 1_000)
    assert the_one().since


def test_more_nodes_cost_no_more_queries() -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as context:
            findings()
        return len(context)

    an_engine("e0")
    a_node("n0")
    few = queries()
    for number in range(1, 6):
        an_engine(f"e{number}")
        a_node(f"n{number}", f"http://10.0.0.{number + 9}:8001")
    assert queries() == few


def test_a_slow_database_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagnosis, "SLOW_S", -1.0)
    assert any("tell its time" in one.message for one in diagnosis.diagnose() if one.subject == "database")
