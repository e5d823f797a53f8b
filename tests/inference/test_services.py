"""What a tick found becomes rows and news: only what changed, and never over what people did meanwhile."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from inference.detection import EngineReading, ModelSeen
from inference.models import Engine, EngineModel, EngineSpeed, EngineStatus, Slot
from inference.probe import EngineSeen, FleetReading, MachineSeen
from inference.services import record_fleet
from nodes import news
from nodes.answers import parse_status
from nodes.mirror import AgentSeen
from nodes.models import Node, NodeLock, NodeStatus
from nodes.payloads import AgentLock
from nodes.probe import AgentReading
from nodes.states import LockMirror
from tests.nodes.told import STATUS

pytestmark = pytest.mark.django_db

AT = datetime(2026, 11, 21, 10, tzinfo=UTC)
AGENT = "http://10.0.0.1:8001"
OLD = timedelta(minutes=1)


def told_status(**changes: Any) -> Any:
    return parse_status(json.dumps(STATUS | changes).encode())


def agent_seen(error: str = "", **changes: Any) -> AgentSeen:
    reading = None if error else AgentReading(told_status(), clock_skew_s=0.0)
    return AgentSeen(AGENT, timezone.now(), reading, error, **changes)


def models(*names: str, resident: bool = True) -> tuple[ModelSeen, ...]:
    return tuple(ModelSeen(name, is_resident=resident, size_bytes=5) for name in names)


def engine_seen(engine: Engine, problem: str = "", **changes: Any) -> EngineSeen:
    told: dict[str, Any] = {"kind": "ollama", "base_url": engine.base_url, "models": models("m")}
    facts = {name: changes.pop(name) for name in list(changes) if name in EngineReading.__slots__}
    reading = None if problem else EngineReading(**(told | facts))
    return EngineSeen(engine.id, engine.generation, reading, problem, **changes)


def record(node: Node, *engines: EngineSeen, agent: AgentSeen | None = None) -> set[int]:
    return record_fleet(reading=FleetReading(AT, (MachineSeen(node.id, agent, engines),)))


def age(row: Any) -> None:
    """Let a status have been as it is for a minute."""
    type(row).objects.filter(pk=row.pk).update(since=timezone.now() - OLD)


@pytest.fixture
def fast() -> Node:
    return Node.objects.create(name="fast")


@pytest.fixture
def engine(fast: Node) -> Engine:
    return Engine.objects.create(node=fast, base_url="http://10.0.0.1:11434")


def test_a_first_look_is_kept(fast: Node, engine: Engine) -> None:
    seen = engine_seen(engine, server="Ollama 0.33", slots=0, models=models("b", "a"))
    assert record(fast, seen) == {fast.id}
    status = EngineStatus.objects.get()
    assert (status.is_online, status.kind, status.server, status.reason) == (
        True,
        "ollama",
        "Ollama 0.33",
        "",
    )
    assert [row.name for row in EngineModel.objects.all()] == ["a", "b"]
    assert Slot.objects.filter(engine=engine, is_retired=False).count() == 1
    state = NodeStatus.objects.get()
    assert (state.state, state.reason, state.version) == ("online", "", 1)


def test_nothing_changes_and_nothing_is_told_but_the_tick(fast: Node, engine: Engine) -> None:
    record(fast, engine_seen(engine))
    before, newest = EngineStatus.objects.get(), news.last_id()
    assert record(fast, engine_seen(engine)) == set()
    after = EngineStatus.objects.get()
    assert after.since == before.since
    assert after.probed_at is not None
    assert before.probed_at is not None
    assert after.probed_at > before.probed_at
    assert NodeStatus.objects.get().version == 1
    assert [(one.topic, one.object_id) for one in news.since(newest)] == [("cluster", "tick")]


def test_an_engine_that_refuses_is_offline_at_once_and_back_at_once(fast: Node, engine: Engine) -> None:
    record(fast, engine_seen(engine))
    age(EngineStatus.objects.get())
    age(NodeStatus.objects.get())
    newest = news.last_id()

    assert record(fast, engine_seen(engine, "Nothing listens there.")) == {fast.id}
    status, node = EngineStatus.objects.get(), NodeStatus.objects.get()
    assert (status.is_online, status.reason) == (False, "Nothing listens there.")
    assert (node.state, node.reason) == ("offline", "engine: Nothing listens there.")
    assert timezone.now() - status.since < OLD / 2
    assert timezone.now() - node.since < OLD / 2
    assert [one.object_id for one in news.since(newest)] == [str(fast.id), "tick"]
    assert EngineModel.objects.count() == 1

    assert record(fast, engine_seen(engine)) == {fast.id}
    assert NodeStatus.objects.get().state == "online"


def test_another_reason_does_not_move_since(fast: Node, engine: Engine) -> None:
    record(fast, engine_seen(engine, "Nothing listens there."))
    age(EngineStatus.objects.get())
    age(NodeStatus.objects.get())
    assert record(fast, engine_seen(engine, "No answer in time.")) == {fast.id}
    assert timezone.now() - EngineStatus.objects.get().since > OLD / 2
    assert timezone.now() - NodeStatus.objects.get().since > OLD / 2


def test_the_breaker_is_left_to_live_traffic(fast: Node, engine: Engine) -> None:
    record(fast, engine_seen(engine))
    EngineStatus.objects.update(breaker_open_ms=5, breaker_reason="refused")
    record(fast, engine_seen(engine, server="another"))
    status = EngineStatus.objects.get()
    assert (status.breaker_open_ms, status.breaker_reason, status.server) == (5, "refused", "another")


def test_models_come_go_and_become_resident(fast: Node, engine: Engine) -> None:
    record(fast, engine_seen(engine, models=models("a", "b", resident=False)))
    kept = EngineModel.objects.get(name="b").id
    changed = (*models("b"), ModelSeen("c", False, context_length=4096, can_generate=False))
    assert record(fast, engine_seen(engine, models=changed)) == {fast.id}
    rows = EngineModel.objects.values_list("name", "is_resident", "context_length", "can_generate")
    assert list(rows) == [("b", True, None, True), ("c", False, 4096, False)]
    assert EngineModel.objects.get(name="b").id == kept


def test_what_no_column_holds_is_passed_over(fast: Node, engine: Engine) -> None:
    odd = (ModelSeen("a\x00b", True), ModelSeen("big", True, size_bytes=2**70, context_length=2**40))
    record(fast, engine_seen(engine, models=odd, server="x\x00" * 200, slots=10**9))
    row = EngineModel.objects.get()
    assert (row.name, row.size_bytes, row.context_length) == ("big", None, None)
    status = EngineStatus.objects.get()
    assert len(status.server) == 100
    assert status.slots == 1024


def test_slots_are_what_people_said_else_what_the_engine_says_else_one(fast: Node, engine: Engine) -> None:
    def count() -> int:
        return Slot.objects.filter(engine=engine, is_retired=False).count()

    record(fast, engine_seen(engine, is_detected=True))
    assert count() == 1
    record(fast, engine_seen(engine, slots=4))
    assert count() == 4
    record(fast, engine_seen(engine, slots=0))
    assert count() == 4, "a look that did not ask for slots forgets nothing"
    Engine.objects.update(slots=2)
    record(fast, engine_seen(engine))
    assert count() == 2
    record(fast, engine_seen(engine, "gone"))
    assert count() == 2


def test_a_path_that_live_traffic_found_missing_stays_so_until_another_server_answers(
    fast: Node, engine: Engine
) -> None:
    record(fast, engine_seen(engine, server="Ollama 0.1"))
    EngineStatus.objects.update(chat_path_missing=True)
    record(fast, engine_seen(engine, server=""))
    assert EngineStatus.objects.get().chat_path_missing
    record(fast, engine_seen(engine, server="Ollama 0.33", is_detected=True))
    assert not EngineStatus.objects.get().chat_path_missing


def test_one_that_is_late_but_finished_a_generation_lately_is_busy_not_dead(
    fast: Node, engine: Engine
) -> None:
    record(fast, engine_seen(engine))
    speed = EngineSpeed.objects.create(engine=engine, model="m", tokens_per_second=1, seconds_per_request=1)
    assert record(fast, engine_seen(engine, "No answer in time.", is_timeout=True)) == set()
    assert EngineStatus.objects.get().is_online
    EngineSpeed.objects.filter(pk=speed.pk).update(updated_at=timezone.now() - OLD)
    record(fast, engine_seen(engine, "No answer in time.", is_timeout=True))
    assert not EngineStatus.objects.get().is_online


def test_a_generation_does_not_help_one_that_refuses(fast: Node, engine: Engine) -> None:
    record(fast, engine_seen(engine))
    EngineSpeed.objects.create(engine=engine, model="m", tokens_per_second=1, seconds_per_request=1)
    record(fast, engine_seen(engine, "Nothing listens there."))
    assert not EngineStatus.objects.get().is_online


class TestWhatPeopleDidMeanwhile:
    """A reading under way does not undo it."""

    def test_another_address(self, fast: Node, engine: Engine) -> None:
        seen = engine_seen(engine)
        Engine.objects.update(generation=2, base_url="http://10.0.0.9:1")
        record(fast, seen)
        assert not EngineStatus.objects.exists()
        assert NodeStatus.objects.get().reason == "engine: it has not been asked yet"

    @pytest.mark.parametrize("change", [{"archived_at": AT}, {"is_enabled": False}])
    def test_removed_or_switched_off(self, fast: Node, engine: Engine, change: dict[str, Any]) -> None:
        seen = engine_seen(engine)
        Engine.objects.update(**change)
        record(fast, seen)
        assert not EngineStatus.objects.exists()
        assert not Slot.objects.exists()

    def test_the_whole_node_removed(self, fast: Node, engine: Engine) -> None:
        seen = engine_seen(engine)
        Node.objects.update(archived_at=AT)
        assert record(fast, seen) == set()
        assert not NodeStatus.objects.exists()

    def test_another_agent(self, fast: Node, engine: Engine) -> None:
        Node.objects.update(monitor_base_url="http://10.0.0.9:8001")
        record(fast, engine_seen(engine), agent=agent_seen())
        status = NodeStatus.objects.get()
        assert (status.reading, status.state) == ("", "degraded")
        assert status.reason == "agent: it has not been asked yet"


class TestAgents:
    """What agents told."""

    @pytest.fixture(autouse=True)
    def _with_agent(self, fast: Node) -> None:
        Node.objects.update(monitor_base_url=AGENT)

    def test_a_reading_is_kept_and_a_new_one_is_no_change(self, fast: Node) -> None:
        assert record(fast, agent=agent_seen()) == {fast.id}
        status = NodeStatus.objects.get()
        assert '"percent":12.5' in status.reading
        assert status.sampled_at is not None
        assert status.clock_skew_s == 0.0
        assert record(fast, agent=agent_seen()) == set()
        assert NodeStatus.objects.get().sampled_at != status.sampled_at

    def test_a_silent_agent_beside_a_working_engine_is_degraded(self, fast: Node, engine: Engine) -> None:
        record(fast, engine_seen(engine), agent=agent_seen())
        assert record(fast, engine_seen(engine), agent=agent_seen("nothing listens")) == {fast.id}
        status = NodeStatus.objects.get()
        assert (status.state, status.reason) == ("degraded", "agent: nothing listens")
        assert status.reading, "the last reading stays, with the error beside it"

    def test_a_node_whose_agent_went_is_judged_by_its_engines(self, fast: Node, engine: Engine) -> None:
        record(fast, engine_seen(engine), agent=agent_seen())
        Node.objects.update(monitor_base_url="")
        record(fast, engine_seen(engine))
        status = NodeStatus.objects.get()
        assert (status.state, status.reading, status.sampled_at) == ("online", "", None)

    def test_with_several_engines_the_reason_names_the_one(self, fast: Node, engine: Engine) -> None:
        other = Engine.objects.create(node=fast, base_url="http://10.0.0.1:8080")
        record(fast, engine_seen(engine), engine_seen(other, "Refused."), agent=agent_seen())
        status = NodeStatus.objects.get()
        assert (status.state, status.reason) == ("degraded", "engine 10.0.0.1:8080: Refused.")


class TestForeignLocks:
    """A lock that somebody else put on the agent."""

    @pytest.fixture(autouse=True)
    def _with_agent(self, fast: Node) -> None:
        Node.objects.update(monitor_base_url=AGENT)

    def foreign(self, left_s: float | None = 60.0, owner: str = "backup") -> AgentLock:
        end = None if left_s is None else (datetime.now(UTC) + timedelta(seconds=left_s)).isoformat()
        return {"id": "x", "owner": owner, "installation": None, "reason": "disk", "expires_at": end}

    def test_it_is_kept_with_its_end_by_our_clock(self, fast: Node) -> None:
        assert record(fast, agent=agent_seen(foreign=self.foreign())) == {fast.id}
        kept = json.loads(NodeStatus.objects.get().foreign_lock)
        assert kept["owner"] == "backup"
        assert abs(kept["expires_ms"] / 1000 - time.time() - 60) < 2

    def test_a_wrong_clock_does_not_prolong_it(self, fast: Node) -> None:
        an_hour_ahead = AgentReading(told_status(), clock_skew_s=3600.0)
        lock = self.foreign(left_s=3600 + 60)
        seen = AgentSeen(AGENT, timezone.now(), an_hour_ahead, foreign=lock)
        record(fast, agent=seen)
        kept = json.loads(NodeStatus.objects.get().foreign_lock)
        assert abs(kept["expires_ms"] / 1000 - time.time() - 60) < 2

    def test_the_same_lock_is_no_change_and_a_renewed_one_is(self, fast: Node) -> None:
        record(fast, agent=agent_seen(foreign=self.foreign()))
        assert record(fast, agent=agent_seen(foreign=self.foreign())) == set()
        assert record(fast, agent=agent_seen(foreign=self.foreign(600))) == {fast.id}
        assert record(fast, agent=agent_seen(foreign=self.foreign(600, owner="other"))) == {fast.id}
        assert record(fast, agent=agent_seen()) == {fast.id}
        assert NodeStatus.objects.get().foreign_lock == ""

    def test_one_without_an_end_stands_while_the_agent_says_so(self, fast: Node) -> None:
        record(fast, agent=agent_seen(foreign=self.foreign(None)))
        assert NodeStatus.objects.get().foreign_lock

    def test_it_stands_while_the_agent_is_silent_and_ends_in_time(self, fast: Node) -> None:
        record(fast, agent=agent_seen(foreign=self.foreign(60)))
        record(fast, agent=agent_seen("silent"))
        assert NodeStatus.objects.get().foreign_lock
        record(fast, agent=agent_seen(foreign=self.foreign(-1)))
        record(fast, agent=agent_seen("silent"))
        assert NodeStatus.objects.get().foreign_lock == ""


class TestMirrors:
    """Where our own lock stands."""

    @pytest.fixture
    def lock(self, fast: Node) -> NodeLock:
        return NodeLock.objects.create(node=fast, by="person", owner="otto", expires_ms=9_999_999_999_999)

    def test_it_follows_what_the_agent_did(self, fast: Node, lock: NodeLock) -> None:
        Node.objects.update(monitor_base_url=AGENT)
        seen = agent_seen(lock_id=str(lock.id), mirror=LockMirror.HELD)
        record(fast, agent=agent_seen())
        assert record(fast, agent=seen) == {fast.id}
        assert NodeLock.objects.get().mirror == "held"
        assert record(fast, agent=seen) == set()

    def test_a_newer_lock_is_not_taken_for_the_one_that_was_told(self, fast: Node, lock: NodeLock) -> None:
        Node.objects.update(monitor_base_url=AGENT)
        record(fast, agent=agent_seen(lock_id="0" * 32, mirror=LockMirror.HELD))
        assert NodeLock.objects.get().mirror == "pending"

    def test_without_an_agent_it_is_unmirrored(self, fast: Node, lock: NodeLock) -> None:
        record(fast)
        assert NodeLock.objects.get().mirror == "unmirrored"


def test_fifty_nodes_take_no_more_statements_than_one() -> None:
    nodes = [Node(name=f"n{number}", monitor_base_url=f"http://10.0.1.{number}:1") for number in range(50)]
    nodes = Node.objects.bulk_create(nodes)
    engines = Engine.objects.bulk_create(
        Engine(node=node, base_url=f"http://10.0.1.{number}:2") for number, node in enumerate(nodes)
    )

    def reading() -> FleetReading:
        seen = zip(nodes, engines, strict=True)
        return FleetReading(
            AT,
            tuple(
                MachineSeen(
                    node.id,
                    AgentSeen(node.monitor_base_url, timezone.now(), AgentReading(told_status(), 0.0)),
                    (engine_seen(engine, models=models(*"abcdefgh")),),
                )
                for node, engine in seen
            ),
        )

    record_fleet(reading=reading())
    with CaptureQueriesContext(connection) as queries:
        record_fleet(reading=reading())
    assert len(queries) <= 20
