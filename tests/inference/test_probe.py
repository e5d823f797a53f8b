"""A tick asks every agent and engine at the same time, and nothing that one of them does delays another."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterable
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest

from dpl_site.lib import http
from inference import probe
from inference.models import Engine, EngineStatus
from inference.probe import EngineSeen, FleetProbe, FleetReading, MachineSeen, see_engine
from inference.targets import EngineTarget, fleet_targets
from nodes.models import Node, NodeLock
from nodes.states import LockMirror
from tests.machines import Said, agent, dead_url, engine, serving
from tests.nodes.told import STATUS

NOW = datetime(2026, 11, 21, tzinfo=UTC)


def target(url: str, **changes: Any) -> EngineTarget:
    known: dict[str, Any] = {
        "engine_id": 7,
        "generation": 3,
        "base_url": url,
        "kind": "ollama",
        "is_kind_fixed": False,
        "api_key": "",
        "is_new": False,
    }
    return EngineTarget(**(known | changes))


def node(name: str, *, llm_url: str = "", monitor: str = "", **engine: Any) -> Node:
    row = Node.objects.create(name=name, monitor_base_url=monitor)
    if llm_url:
        Engine.objects.create(node=row, base_url=llm_url, **engine)
    return row


def tick(*node_ids: int) -> dict[str, MachineSeen]:
    """One tick as the controller makes it; by the nodes' names."""

    async def once() -> FleetReading:
        probe = FleetProbe(timeout_s=30)
        try:
            return await probe.tick(node_ids or None)
        finally:
            await probe.close()

    names = dict(Node.objects.values_list("id", "name"))
    return {names[seen.node_id]: seen for seen in asyncio.run(once()).nodes}


class TestOneEngine:
    """What comes of asking one engine."""

    @pytest.fixture
    async def session(self) -> AsyncIterator[aiohttp.ClientSession]:
        async with http.session() as client:
            yield client

    async def see(
        self, session: aiohttp.ClientSession, asked: EngineTarget, timeout_s: float = 30
    ) -> EngineSeen:
        return await see_engine(session, asked, timeout_s=timeout_s)

    async def test_a_new_engine_is_asked_for_all_it_tells(self, session: aiohttp.ClientSession) -> None:
        with engine(models=("llama3:8b",), preload=True) as url:
            seen = await self.see(session, target(url, kind="", is_new=True))
        assert (seen.engine_id, seen.generation, seen.is_online, seen.is_detected) == (7, 3, True, True)
        assert seen.reading is not None
        assert seen.reading.kind == "ollama"
        assert seen.reading.server.startswith("Ollama")
        assert [model.name for model in seen.reading.models] == ["llama3:8b"]

    async def test_a_known_engine_is_asked_for_what_changes(self, session: aiohttp.ClientSession) -> None:
        with engine(dialect="openai") as url:
            seen = await self.see(session, target(url, kind="openai"))
        assert seen.is_online
        assert not seen.is_detected

    async def test_one_that_became_another_kind_is_found_anew(self, session: aiohttp.ClientSession) -> None:
        with engine(dialect="openai") as url:
            seen = await self.see(session, target(url, kind="ollama"))
        assert seen.is_detected
        assert seen.reading is not None
        assert seen.reading.kind == "openai"

    async def test_a_kind_that_a_person_chose_stays(self, session: aiohttp.ClientSession) -> None:
        page = Said("<html>", kind="text/html")
        with serving(lambda asked: page) as server:
            seen = await self.see(session, target(server.url, is_kind_fixed=True, is_new=True))
            assert set(server.paths()) == {"/api/tags", "/api/ps"}
        assert "a web page" in seen.problem

    async def test_a_refused_connection_is_offline_with_the_reason(
        self, session: aiohttp.ClientSession
    ) -> None:
        seen = await self.see(session, target(dead_url()))
        assert not seen.is_online
        assert not seen.is_timeout
        assert "othing listens" in seen.problem

    async def test_one_that_thinks_for_too_long_is_a_timeout(self, session: aiohttp.ClientSession) -> None:
        with serving(lambda asked: Said({}, after_s=30)) as server:
            began = time.monotonic()
            seen = await self.see(session, target(server.url), timeout_s=0.2)
        assert time.monotonic() - began < 15
        assert seen.is_timeout
        assert not seen.is_online

    async def test_one_that_loads_its_model_cannot_work_yet(self, session: aiohttp.ClientSession) -> None:
        loading = {"error": {"message": "Loading model", "type": "unavailable_error", "code": 503}}
        with serving(lambda asked: Said(loading, status=503)) as server:
            seen = await self.see(session, target(server.url, kind="openai"))
        assert not seen.is_online
        assert seen.problem == "It is loading its model."

    async def test_an_address_that_became_forbidden_is_not_asked(
        self, session: aiohttp.ClientSession
    ) -> None:
        seen = await self.see(session, target("http://169.254.169.254:80", is_new=True, kind=""))
        assert "metadata" in seen.problem

    async def test_a_surprise_is_logged_and_ends_nothing(
        self, session: aiohttp.ClientSession, caplog: pytest.LogCaptureFixture
    ) -> None:
        await session.close()
        seen = await self.see(session, target(dead_url()))
        assert "Asking it failed" in seen.problem
        assert "asking engine 7 failed" in caplog.text


@pytest.mark.django_db
class TestTargets:
    """Whom a tick asks."""

    def test_every_live_node_and_engine_that_is_switched_on(self) -> None:
        fast = node("fast", llm_url="http://10.0.0.1:1", monitor="http://10.0.0.1:8001")
        node("gone", llm_url="http://10.0.0.2:1")
        Node.objects.filter(name="gone").update(archived_at=NOW)
        Engine.objects.create(node=fast, base_url="http://10.0.0.1:2", is_enabled=False)
        Engine.objects.create(node=fast, base_url="http://10.0.0.1:3", archived_at=NOW)
        bare = node("bare")

        asked = {one.node_id: one for one in fleet_targets().nodes}
        assert set(asked) == {fast.id, bare.id}
        assert [one.base_url for one in asked[fast.id].engines] == ["http://10.0.0.1:1"]
        agent_asked = asked[fast.id].agent
        assert agent_asked is not None
        assert agent_asked.base_url == "http://10.0.0.1:8001"
        assert asked[bare.id].agent is None

    def test_some_nodes_only(self) -> None:
        fast, slow = node("fast"), node("slow")
        assert [one.node_id for one in fleet_targets(node_ids=[slow.id]).nodes] == [slow.id]
        assert len(fleet_targets(node_ids=[fast.id, slow.id]).nodes) == 2

    def test_the_kind_that_was_found_is_asked_for_again_while_it_is_online(self) -> None:
        fast = node("fast", llm_url="http://10.0.0.1:1")
        row = Engine.objects.get(node=fast)
        [asked] = fleet_targets().nodes[0].engines
        assert (asked.kind, asked.is_new, asked.is_kind_fixed) == ("", True, False)
        EngineStatus.objects.create(engine=row, kind="ollama", is_online=True)
        [asked] = fleet_targets().nodes[0].engines
        assert (asked.kind, asked.is_new, asked.is_kind_fixed) == ("ollama", False, False)
        Engine.objects.update(kind="openai")
        [asked] = fleet_targets().nodes[0].engines
        assert (asked.kind, asked.is_kind_fixed) == ("openai", True)

    def test_the_identity_is_made_once(self) -> None:
        assert fleet_targets().installation == fleet_targets().installation

    def test_it_takes_as_many_queries_for_ten_nodes_as_for_one(
        self, django_assert_max_num_queries: Callable[..., Any]
    ) -> None:
        for number in range(10):
            node(str(number), llm_url=f"http://10.0.0.{number}:1", monitor=f"http://10.0.0.{number}:8001")
        fleet_targets()
        with django_assert_max_num_queries(6):
            fleet_targets()


@pytest.mark.django_db(transaction=True)
class TestTick:
    """The whole fleet at once."""

    def test_it_reads_a_fleet_of_fast_slow_and_dead(self) -> None:
        with agent() as box, engine() as fast_url, engine(dialect="openai") as slow_url:
            node("fast", llm_url=fast_url, monitor=box.url)
            node("slow", llm_url=slow_url)
            node("dead", llm_url=dead_url(), monitor=dead_url())
            seen = tick()
        assert set(seen) == {"fast", "slow", "dead"}
        assert seen["fast"].agent
        assert seen["fast"].agent.reading
        assert [one.is_online for name in ("fast", "slow", "dead") for one in seen[name].engines] == [
            True,
            True,
            False,
        ]
        assert seen["dead"].agent
        assert "nothing listens" in seen["dead"].agent.error
        assert seen["slow"].agent is None

    def test_a_dead_host_does_not_delay_the_news_of_the_others(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(probe, "PROMPT_S", 1.0)
        with engine() as url, serving(lambda asked: Said({}, after_s=30)) as silent:
            node("fast", llm_url=url)
            for number in range(20):
                node(f"silent {number}", monitor=f"{silent.url}/{number}", llm_url=f"{silent.url}/{number}")
            began = time.monotonic()
            parts = asyncio.run(self.parts())
        assert [len(part) for part in parts] == [1, 20]
        assert time.monotonic() - began < 20, "the twenty were asked one after the other"

    @staticmethod
    async def parts() -> list[list[MachineSeen]]:
        asking, parts = FleetProbe(timeout_s=2.5), []
        try:
            async for reading in asking.answers():
                parts.append(list(reading.nodes))
        finally:
            await asking.close()
        return parts

    def test_it_puts_our_lock_on_the_agent_at_the_tick_that_sees_it(self) -> None:
        with agent() as box:
            fast = node("fast", monitor=box.url)
            lock = NodeLock.objects.create(node=fast, by="person", owner="otto", expires_ms=9_999_999_999_999)
            seen = tick(fast.id)["fast"].agent
            told = box.lock()
            NodeLock.objects.all().delete()
            tick(fast.id)
            assert box.lock() is None
        assert seen
        assert (seen.lock_id, seen.mirror) == (str(lock.id), LockMirror.HELD)
        assert told
        assert told["owner"] == "otto"

    def test_connections_are_kept_from_tick_to_tick(self) -> None:
        with serving(lambda asked: Said(json.dumps(STATUS))) as server:
            node("fast", monitor=server.url)
            asyncio.run(self.several(3))
            assert len(server.paths()) == 3
            assert ports(server.asked) == 1

    @staticmethod
    async def several(count: int) -> None:
        probe = FleetProbe(timeout_s=30)
        for _ in range(count):
            await probe.tick()
        await probe.close()

    def test_leaving_in_the_middle_leaves_no_questions_behind(self) -> None:
        with engine() as url, serving(lambda asked: Said({}, after_s=30)) as silent:
            node("fast", llm_url=url)
            node("silent", llm_url=silent.url)
            assert asyncio.run(self.leave_early()) == 0

    @staticmethod
    async def leave_early() -> int:
        probe = FleetProbe(timeout_s=20)
        answers = probe.answers()
        await anext(answers)
        await answers.aclose()
        await asyncio.sleep(0.05)
        left = [task for task in asyncio.all_tasks() if task.get_name().startswith("probe-")]
        await probe.close()
        return len(left)


def ports(asked: Iterable[Any]) -> int:
    """From how many connections the requests came."""
    return len({one.port for one in asked})
