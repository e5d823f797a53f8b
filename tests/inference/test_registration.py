"""Adding, changing and removing machines: checked, asked at once, and said in words."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from dpl_site.lib.db import call
from dpl_site.lib.refusals import Refused
from inference import looking, registration, slots
from inference.engines import engine_add, engine_remove, engine_update
from inference.models import Engine, EngineModel, EngineSpeed, EngineStatus, Slot
from inference.registration import node_add, node_remove, node_update
from inference.selectors import engine_snapshots
from nodes import locks, news
from nodes.models import Node, NodeLock, NodeStatus
from tests.datasets.making import an_instance
from tests.machines import Asked, Said, agent, dead_url, engine, serving

pytestmark = pytest.mark.django_db


def refused(**entry: Any) -> Refused:
    with pytest.raises(Refused) as caught:
        node_add(**({"name": "fast"} | entry))
    assert caught.value.status == 400
    assert not Node.objects.exists()
    return caught.value


def slot_count(row: Engine) -> int:
    return Slot.objects.filter(engine=row, is_retired=False).count()


class TestNodeAdd:
    """A new machine."""

    def test_the_answer_tells_how_it_is(self) -> None:
        with agent(token="t0ken") as box, engine(models=("llama3:8b", "qwen:7b"), slots=2) as url:
            node = node_add(
                name=" fast ",
                llm_url=f"{url}/api/chat",
                monitor_base_url=f"{box.url}/status",
                agent_token="t0ken",
                environment="lab",
                labels={"rack": "a1"},
            )
        assert (node.name, node.environment, node.labels) == ("fast", "lab", {"rack": "a1"})
        assert node.monitor_base_url == box.url
        assert (node.status.state, node.status.reason) == ("online", "")
        assert node.status.sampled_at is not None
        row = Engine.objects.select_related("status").get()
        assert (row.base_url, row.kind, row.status.kind, row.status.is_online) == (url, "", "ollama", True)
        assert [model.name for model in EngineModel.objects.all()] == ["llama3:8b", "qwen:7b"]
        assert slot_count(row) == 1

    def test_an_openai_engine_is_found_by_its_paste(self) -> None:
        with engine(dialect="openai", slots=3) as url:
            node_add(name="fast", llm_url=f"{url}/v1/chat/completions")
        status = EngineStatus.objects.get()
        assert status.kind == "openai"
        assert status.is_online

    def test_a_machine_that_does_not_answer_is_kept_with_the_reason(self) -> None:
        node = node_add(name="dead", llm_url=dead_url(), monitor_base_url=dead_url())
        assert node.status.state == "offline"
        assert "agent: nothing listens at" in node.status.reason
        assert "engine: Nothing listens at" in node.status.reason

    def test_it_asks_the_engine_in_all_dialects_and_the_agent_at_once(self) -> None:
        everybody = threading.Barrier(len(("agent", "version", "tags", "ps", "models", "props", "vllm")))

        def together(asked: Asked) -> Said:
            everybody.wait(20)
            return Said({}, status=503)

        with serving(together) as busy:
            node_add(name="busy", llm_url=busy.url, monitor_base_url=f"{busy.url}/agent")
        assert not everybody.broken
        assert "/agent/status" in busy.paths()

    def test_it_does_not_wait_long_for_what_is_silent(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(looking, "ASK_S", 0.3)
        with serving(lambda asked: Said({}, after_s=30)) as silent:
            node = node_add(name="silent", llm_url=silent.url, monitor_base_url=f"{silent.url}/agent")
        assert node.status.state == "offline"

    def test_a_wrong_token_is_kept_and_said(self) -> None:
        with agent(token="right") as box, engine() as url:
            node = node_add(name="fast", llm_url=url, monitor_base_url=box.url, agent_token="wrong")
        assert node.status.state == "degraded"
        assert "refuses DPL's token" in node.status.reason

    def test_what_answers_and_is_no_engine_is_refused(self) -> None:
        with serving(lambda asked: Said("<html>router</html>", kind="text/html")) as server:
            no = refused(llm_url=server.url)
        assert no.code == "not_an_engine"
        assert "a web page" in no.message
        assert no.detail == {"llm_url": [no.message]}

    @pytest.mark.parametrize(
        ("entry", "field", "says"),
        [
            ({"llm_url": "http://169.254.169.254"}, "llm_url", "metadata"),
            ({"llm_url": "http://8.8.8.8:11434"}, "llm_url", "public address"),
            ({"llm_url": "ftp://10.0.0.1"}, "llm_url", "http"),
            ({"llm_url": "http://10.0.0.1:999999"}, "llm_url", "port"),
            ({"monitor_base_url": "http://0.0.0.0:8001"}, "monitor_base_url", "every address"),
            ({"monitor_base_url": "gopher://x"}, "monitor_base_url", "not an agent's address"),
            ({"name": "  "}, "name", "1 to 100"),
            ({"name": "a\nb"}, "name", "1 to 100"),
            ({"name": "x" * 101}, "name", "1 to 100"),
            ({"agent_token": "a b"}, "agent_token", "header"),
            ({"api_key": "日本", "llm_url": "http://10.0.0.1"}, "api_key", "header"),
            ({"slots": -1}, "slots", "from 0"),
            ({"slots": 10**9}, "slots", "from 0"),
            ({"environment": "x" * 51}, "environment", "50"),
            ({"labels": {"a": 5}}, "labels", "'a'"),
            ({"labels": {"": "b"}}, "labels", "name and a text"),
            ({"labels": {"a": "\x00"}}, "labels", "cannot be shown"),
            ({"labels": {str(n): "x" for n in range(99)}}, "labels", "64"),
        ],
    )
    def test_what_is_malformed_or_forbidden_is_refused_at_its_field(
        self, entry: dict[str, Any], field: str, says: str
    ) -> None:
        no = refused(**entry)
        assert no.detail is not None
        assert list(no.detail) == [field]
        assert says in no.message

    def test_a_name_an_engine_and_an_agent_are_there_once(self) -> None:
        url, box = dead_url(), dead_url()
        node_add(name="fast", llm_url=url, monitor_base_url=box)
        entries: list[tuple[dict[str, Any], str]] = [
            ({"name": "fast"}, "Another node is called fast already"),
            ({"name": "b", "llm_url": f"{url}/v1"}, "The node fast has this engine already"),
            ({"name": "b", "monitor_base_url": f"{box}/status"}, "The node fast has this agent already"),
        ]
        for entry, says in entries:
            with pytest.raises(Refused, match=says) as no:
                node_add(**entry)
            assert no.value.code == "duplicate"
        assert Node.objects.count() == 1

    def test_two_who_add_the_same_at_once_are_told_apart_by_the_constraints(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def meanwhile(**_: Any) -> Any:
            Node.objects.create(name="fast")
            return real()

        real = looking.look
        monkeypatch.setattr(registration, "look", meanwhile)
        with pytest.raises(Refused, match="added at this moment"):
            node_add(name="fast")

    def test_it_is_news(self) -> None:
        before = news.last_id()
        node = node_add(name="fast")
        assert str(node.id) in {one.object_id for one in news.since(before)}

    def test_a_machine_with_neither_is_unknown(self) -> None:
        node = node_add(name="bare")
        assert (node.status.state, node.status.reason) == ("unknown", "it has neither an agent nor an engine")

    def test_a_secret_is_stored_encrypted(self) -> None:
        from django.db import connection

        node_add(name="fast", monitor_base_url=dead_url(), agent_token="s3cret")
        with connection.cursor() as cursor:
            cursor.execute("SELECT agent_token FROM nodes_node")
            assert "s3cret" not in cursor.fetchone()[0]
        assert Node.objects.get().agent_token == "s3cret"


@pytest.mark.django_db(transaction=True)
def test_it_may_be_called_from_a_running_loop() -> None:
    async def add() -> Node:
        return await call(node_add, name="fast", llm_url=dead_url())

    assert asyncio.run(add()).name == "fast"


class TestNodeUpdate:
    """A changed machine."""

    def test_only_what_is_given_changes(self) -> None:
        node = node_add(name="fast", labels={"a": "b"}, environment="lab")
        changed = node_update(node_id=node.id, name="faster")
        assert (changed.name, changed.labels, changed.environment) == ("faster", {"a": "b"}, "lab")
        assert node_update(node_id=node.id, name="faster").name == "faster"

    def test_another_agent_is_asked_at_once_and_the_old_one_forgotten(self) -> None:
        with agent() as first, agent() as second:
            node = node_add(name="fast", monitor_base_url=first.url)
            NodeStatus.objects.update(clock_skew_s=99)
            changed = node_update(node_id=node.id, monitor_base_url=second.url)
        assert changed.monitor_base_url == second.url
        assert changed.status.clock_skew_s is not None
        assert changed.status.clock_skew_s < 9
        assert changed.status.state == "online"
        with_none = node_update(node_id=node.id, monitor_base_url="")
        assert (with_none.status.reading, with_none.status.sampled_at) == ("", None)

    def test_what_the_old_agent_told_is_forgotten_though_the_new_one_is_silent(self) -> None:
        with agent() as box:
            node = node_add(name="fast", monitor_base_url=box.url)
        NodeStatus.objects.update(foreign_lock='{"expires_ms": 9999999999999, "owner": "x", "reason": ""}')
        status = node_update(node_id=node.id, monitor_base_url=dead_url()).status
        assert (status.reading, status.foreign_lock, status.sampled_at) == ("", "", None)
        assert status.state == "offline"

    def test_a_standing_lock_moves_to_the_new_agent(self) -> None:
        with agent() as first, agent() as second:
            node = node_add(name="fast", monitor_base_url=first.url)
            locks.lock_node(node_id=node.id, by=locks.PERSON, owner="otto", reason="", ttl_s=60, actor="otto")
            node_update(node_id=node.id, monitor_base_url=second.url)
            assert second.lock()
        assert NodeLock.objects.get().mirror == "held"

    def test_a_corrected_token_is_tried_at_once(self) -> None:
        with agent(token="right") as box:
            node = node_add(name="fast", monitor_base_url=box.url, agent_token="wrong")
            assert node.status.state == "offline"
            assert node_update(node_id=node.id, agent_token="right").status.state == "online"

    def test_a_taken_name_is_refused(self) -> None:
        node_add(name="fast")
        slow = node_add(name="slow")
        with pytest.raises(Refused, match="called fast already"):
            node_update(node_id=slow.id, name="fast")

    def test_one_that_is_not_there_is_404(self) -> None:
        with pytest.raises(Refused) as no:
            node_update(node_id=12345, name="x")
        assert no.value.status == 404


class TestNodeRemove:
    """A machine that leaves."""

    def test_its_names_and_addresses_are_free_again(self) -> None:
        url, box = dead_url(), dead_url()
        node = node_add(name="fast", llm_url=url, monitor_base_url=box)
        locks.lock_node(node_id=node.id, by=locks.PERSON, owner="otto", reason="", ttl_s=60, actor="otto")
        before = news.last_id()
        node_remove(node_id=node.id, actor="ada")

        assert not NodeLock.objects.exists()
        assert not Slot.objects.filter(is_retired=False).exists()
        assert engine_snapshots() == []
        told = [(one.object_id, one.payload) for one in news.since(before)]
        assert (str(node.id), "removed") in told
        again = node_add(name="fast", llm_url=url, monitor_base_url=box)
        assert again.id != node.id

    def test_what_runs_keeps_its_slot_until_it_ends(self) -> None:
        with engine() as url:
            node = node_add(name="fast", llm_url=url)
        row = Engine.objects.get()
        [held] = slots.claim(engine_ids=[row.id], instance_id=an_instance().id, work_class=slots.BATCH)
        node_remove(node_id=node.id, actor="ada")
        assert Slot.objects.get(id=held.slot_id).holder_id is not None
        slots.release(held=[held])
        assert slots.claim(engine_ids=[row.id], instance_id=an_instance().id, work_class=slots.BATCH) == []

    def test_twice_is_404(self) -> None:
        node = node_add(name="fast")
        node_remove(node_id=node.id, actor="ada")
        with pytest.raises(Refused) as no:
            node_remove(node_id=node.id, actor="ada")
        assert no.value.status == 404


class TestEngines:
    """Engines of their own."""

    @pytest.fixture
    def node(self) -> Node:
        return node_add(name="fast")

    def test_a_second_engine_is_asked_and_the_node_judged_anew(self, node: Node) -> None:
        with engine() as first, engine(dialect="openai") as second:
            engine_add(node_id=node.id, llm_url=first)
            engine_add(node_id=node.id, llm_url=second)
        assert NodeStatus.objects.get().state == "online"
        engine_add(node_id=node.id, llm_url=dead_url())
        assert NodeStatus.objects.get().state == "degraded"

    def test_a_chosen_kind_is_kept(self, node: Node) -> None:
        with engine(dialect="openai") as url:
            row = engine_add(node_id=node.id, llm_url=url, kind="openai")
        assert (row.kind, row.status.kind, row.status.is_online) == ("openai", "openai", True)

    def test_a_kind_that_there_is_not_is_refused(self, node: Node) -> None:
        with pytest.raises(Refused, match="ollama, openai, or empty"):
            engine_add(node_id=node.id, llm_url=dead_url(), kind="magic")

    def test_one_that_is_switched_off_is_not_asked(self, node: Node) -> None:
        with serving(lambda asked: Said({})) as server:
            row = engine_add(node_id=node.id, llm_url=server.url, is_enabled=False)
            assert server.paths() == []
        assert slot_count(row) == 0

    def test_another_address_is_another_engine(self, node: Node) -> None:
        with engine(models=("a",)) as first, engine(models=("b",), dialect="openai") as second:
            row = engine_add(node_id=node.id, llm_url=first)
            EngineSpeed.objects.create(engine=row, model="a", tokens_per_second=5, seconds_per_request=1)
            slots.open_breaker(engine_id=row.id, reason="refused")
            changed = engine_update(engine_id=row.id, llm_url=f"{second}/v1")
        assert (changed.base_url, changed.generation) == (second, 2)
        assert (changed.status.kind, changed.status.breaker_open_ms) == ("openai", None)
        assert [model.name for model in EngineModel.objects.all()] == ["b"]
        assert not EngineSpeed.objects.exists()

    def test_the_same_address_is_the_same_engine(self, node: Node) -> None:
        with engine(models=("a",)) as url:
            row = engine_add(node_id=node.id, llm_url=url)
            changed = engine_update(engine_id=row.id, llm_url=f"{url}/v1", slots=3)
        assert (changed.generation, changed.slots) == (1, 3)
        assert slot_count(changed) == 3

    def test_fewer_slots_retire(self, node: Node) -> None:
        row = engine_add(node_id=node.id, llm_url=dead_url(), slots=4)
        assert slot_count(row) == 4
        engine_update(engine_id=row.id, slots=1)
        assert slot_count(row) == 1

    def test_another_key_is_tried_at_once_and_forgets_nothing(self, node: Node) -> None:
        with engine(dialect="openai", api_key="right") as url:
            row = engine_add(node_id=node.id, llm_url=url)
            assert "key" in row.status.reason
            EngineSpeed.objects.create(engine=row, model="a", tokens_per_second=5, seconds_per_request=1)
            changed = engine_update(engine_id=row.id, api_key="right")
        assert changed.status.is_online
        assert changed.generation == 2
        assert EngineSpeed.objects.exists()

    def test_switched_off_and_on_again(self, node: Node) -> None:
        with engine() as url:
            row = engine_add(node_id=node.id, llm_url=url)
            off = engine_update(engine_id=row.id, is_enabled=False)
            assert (off.status.is_online, slot_count(row)) == (False, 0)
            assert NodeStatus.objects.get().state == "unknown"
            on = engine_update(engine_id=row.id, is_enabled=True)
        assert (on.status.is_online, slot_count(row)) == (True, 1)
        assert NodeStatus.objects.get().state == "online"

    def test_something_else_at_the_new_address_changes_nothing(self, node: Node) -> None:
        row = engine_add(node_id=node.id, llm_url=dead_url())
        with (
            serving(lambda asked: Said("<html>", kind="text/html")) as server,
            pytest.raises(Refused, match="a web page"),
        ):
            engine_update(engine_id=row.id, llm_url=server.url)
        assert Engine.objects.get().base_url == row.base_url

    def test_removed_and_added_again(self, node: Node) -> None:
        url = dead_url()
        row = engine_add(node_id=node.id, llm_url=url)
        engine_remove(engine_id=row.id)
        assert NodeStatus.objects.get().state == "unknown"
        assert engine_add(node_id=node.id, llm_url=url).id != row.id
        with pytest.raises(Refused) as no:
            engine_remove(engine_id=row.id)
        assert no.value.status == 404
