"""Nodes that push: watched like those that are asked, locked by the answer, missed when they fall silent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.conf import settings
from django.test import Client

from inference import agents_api
from inference.fleet import node_views
from inference.models import Engine
from inference.registration import node_add, node_remove, node_update
from nodes import locks
from nodes.models import Node, NodeLock, NodeStatus, PushedReading
from nodes.services import installation_id
from tests.inference.joining import ScriptedAgent, reading, tick
from tests.machines import Said, dead_url, engine, serving
from tests.nodes.told import STATUS, lock_told

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _fresh_doors() -> None:
    """No test is kept out for what others did."""
    for rate in (agents_api._joins, agents_api._wrong, agents_api._pushes):
        rate.clear()


@pytest.fixture
def box() -> ScriptedAgent:
    """An agent that joined and has to push."""
    scripted = ScriptedAgent()
    assert scripted.join()["mode"] == "push"
    return scripted


def status() -> NodeStatus:
    return NodeStatus.objects.get()


def silent_for(seconds: int) -> None:
    for row in PushedReading.objects.all():
        PushedReading.objects.filter(id=row.id).update(received_ms=row.received_ms - seconds * 1000)


class TestWatched:
    """Its state, its readings."""

    def test_a_push_is_seen_by_the_next_tick(self, box: ScriptedAgent) -> None:
        answer = box.push(reading(4), reading())
        assert answer.status_code == 200
        assert answer.json() == {"lock": None, "interval_s": 2.0, "stored": 2}
        tick()
        found = status()
        assert (found.state, found.reason, found.agent_error) == ("online", "", "")
        assert found.sampled_at is not None
        assert found.clock_skew_s is not None
        assert abs(found.clock_skew_s) < 30
        (view,) = node_views()
        assert view["metrics"] is not None
        assert view["metrics"]["cpu_percent"] == 12.5

    def test_what_a_tick_took_leaves_no_text_behind(self, box: ScriptedAgent) -> None:
        box.push(reading(4), reading())
        tick()
        assert [*PushedReading.objects.values_list("is_taken", "reading")] == [(True, ""), (True, "")]

    def test_what_comes_late_is_taken_without_anything_newer(self, box: ScriptedAgent) -> None:
        box.push()
        tick()
        box.push(reading(60))
        tick()
        assert not PushedReading.objects.filter(is_taken=False).exists()

    def test_its_engine_is_used_when_it_can_be_reached(self) -> None:
        with engine(models=("llama3:8b",), preload=True) as url:
            box = ScriptedAgent()
            box.join(engines=[{"base_url": url, "kind": "ollama"}])
            box.push()
            tick()
        (view,) = node_views()
        assert (view["state"], view["models"]) == ("online", ["llama3:8b"])

    def test_a_tick_without_a_new_push_changes_nothing(self, box: ScriptedAgent) -> None:
        box.push()
        tick()
        before = NodeStatus.objects.values().get()
        tick()
        assert NodeStatus.objects.values().get() == before

    def test_silence_takes_it_offline_and_the_next_push_back(self, box: ScriptedAgent) -> None:
        box.push()
        tick()
        silent_for(7)
        tick()
        found = status()
        assert (found.state, found.reading != "") == ("offline", True)
        assert found.reason.startswith("agent: it has not pushed for 5 s; is the machine on")
        version = found.version
        tick()
        assert status().version == version, "the same silence is no news"
        box.push()
        tick()
        assert (status().state, status().reason) == ("online", "")

    def test_an_agent_that_lies_about_the_time_is_seen_with_its_skew(self, box: ScriptedAgent) -> None:
        box.push(reading(-3600), sent_at=reading(-3600)["sampled_at"])
        tick()
        skew_s = status().clock_skew_s
        assert skew_s is not None
        assert abs(skew_s - 3600) < 30
        assert status().state == "online"

    def test_one_that_is_asked_but_can_only_push_is_taken_at_its_word(self) -> None:
        alive = [True]
        with serving(lambda asked: Said(STATUS if alive else {}, hangs_up=not alive)) as server:
            box = ScriptedAgent(url=server.url)
            assert box.join()["mode"] == "pull"
            alive.clear()
            tick()
            assert "closed the connection" in status().agent_error
            box.push()
            tick()
            assert (status().state, status().agent_error) == ("online", "")
            tick()
            assert status().agent_error == "", "nothing new within the interval is no silence"
            silent_for(7)
            tick()
            assert "closed the connection" in status().agent_error

    def test_what_one_that_is_asked_pushes_besides_is_put_away(self) -> None:
        with serving(lambda asked: Said(STATUS | {"cpu": {"percent": 99.0}})) as server:
            box = ScriptedAgent(url=server.url)
            box.join()
            box.push(reading(2), reading())
            tick()
        assert node_views()[0]["metrics"]["cpu_percent"] == 99.0  # type: ignore[index]  # there are some
        assert not PushedReading.objects.filter(is_taken=False).exists()

    def test_a_node_that_was_added_by_hand_pushes_with_its_own_token(self) -> None:
        box = ScriptedAgent()
        box.token = "a-long-token-of-its-owner"
        node = node_add(name="fast", agent_token=box.token, llm_url=dead_url())
        assert box.push().status_code == 200
        tick()
        assert NodeStatus.objects.get(node=node).state == "degraded"


class TestLocked:
    """Its lock travels in the answers."""

    def lock(self) -> NodeLock:
        return locks.lock_node(
            node_id=Node.objects.get().id,
            by=locks.PERSON,
            owner="otto",
            reason="training",
            ttl_s=600,
            actor="otto",
        )

    def test_the_answer_carries_it_and_the_next_reading_shows_it(self, box: ScriptedAgent) -> None:
        lock = self.lock()
        told = box.push().json()["lock"]
        assert (told["id"], told["owner"], told["reason"]) == (str(lock.id), "otto", "training")
        assert (told["installation"], told["ttl_s"]) == (str(installation_id()), 30.0)
        tick()
        assert NodeLock.objects.get().mirror == "pending"
        box.push(reading(lock=lock_told(**told, expires_at=None)))
        tick()
        assert NodeLock.objects.get().mirror == "held"

    def test_without_a_lock_it_is_told_to_let_go(self, box: ScriptedAgent) -> None:
        lock = self.lock()
        box.push()
        locks.unlock_node(node_id=lock.node_id, actor="otto")
        assert box.push().json()["lock"] is None

    def test_a_lock_of_somebody_else_on_it_is_honoured(self, box: ScriptedAgent) -> None:
        self.lock()
        box.push(reading(lock=lock_told(installation="another")))
        tick()
        assert NodeLock.objects.get().mirror == "unmirrored"
        lock = node_views()[0]["lock"]
        assert lock is not None
        assert (lock["owner"], lock["by"]) == ("backup", "agent")

    def test_a_lock_that_is_over_is_not_sent(self, box: ScriptedAgent) -> None:
        self.lock()
        NodeLock.objects.update(expires_ms=1)
        assert box.push().json()["lock"] is None


class TestRefused:
    """What is wrong has its message, and the tick goes on."""

    def test_a_removed_node_is_told_so_for_ever(self, box: ScriptedAgent) -> None:
        box.push()
        node = Node.objects.get()
        node_remove(node_id=node.id, actor="ada")
        answer = box.push()
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "node_removed")
        assert not PushedReading.objects.exists()
        node_add(name=node.name, llm_url=dead_url())
        assert box.push().json()["error"]["code"] == "node_removed"

    def test_the_api_removes_it_too(self, box: ScriptedAgent, api: Callable[[str], Client]) -> None:
        assert api("ada").delete(f"/api/v1/nodes/{Node.objects.get().id}/").status_code == 204
        assert box.push().json()["error"]["code"] == "node_removed"

    def test_another_token_ends_the_one_before(self, box: ScriptedAgent) -> None:
        box.push()
        node_update(node_id=Node.objects.get().id, agent_token="a-token-of-the-owner's-choice")
        assert box.push().json()["error"]["code"] == "agent_token_unknown"
        assert not PushedReading.objects.exists(), "what it pushed before was another agent's"
        box.token = "a-token-of-the-owner's-choice"
        assert box.push().status_code == 200

    @pytest.mark.parametrize("changes", [{"readings": None}, {"readings": {}}, {"readings": "x"}])
    def test_readings_have_to_be_a_list(self, box: ScriptedAgent, changes: dict[str, Any]) -> None:
        answer = box.push(**changes)
        assert (answer.status_code, [*answer.json()["error"]["detail"]]) == (400, ["readings"])

    def test_a_push_of_nothing_but_nonsense_says_what_is_wrong(self, box: ScriptedAgent) -> None:
        answer = box.push(7, {"x": 1})
        assert answer.status_code == 400
        assert "reading 1: it is no object" in answer.json()["error"]["message"]
        tick()
        assert "it has not pushed yet" in status().reason

    def test_nonsense_among_readings_is_told_and_the_rest_counts(self, box: ScriptedAgent) -> None:
        answer = box.push(7, reading(), unknown=[1])
        assert (answer.status_code, answer.json()["stored"]) == (200, 1)
        assert "reading 1" in answer.json()["refused"][0]

    def test_a_push_of_nothing_asks_for_the_lock_only(self, box: ScriptedAgent) -> None:
        answer = box.push(readings=[])
        assert (answer.status_code, answer.json()["stored"]) == (200, 0)

    def test_too_many_readings_and_too_large_a_body_are_413(
        self, box: ScriptedAgent, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        answer = box.push(readings=[{}] * 61)
        assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_many_readings")
        monkeypatch.setattr(settings, "DPL_MAX_PUSH_KB", 64)
        answer = box.push(reading(extra="x" * 70_000))
        assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large")

    def test_what_the_controller_has_not_taken_is_not_pushed_out(
        self, box: ScriptedAgent, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(settings, "DPL_PUSHED_MOST", 2)
        box.push(reading(4), reading(2))
        answer = box.push()
        assert (answer.status_code, answer["Retry-After"]) == (429, "2")
        tick()
        assert box.push().status_code == 200

    def test_a_sending_time_that_is_none_is_survived(self, box: ScriptedAgent) -> None:
        for nonsense in (None, "yesterday", 7, ["x"], "9" * 400):
            assert box.push(sent_at=nonsense).status_code == 200

    def test_one_that_pushes_without_end_has_to_wait(
        self, box: ScriptedAgent, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(agents_api, "LEAST_PUSHES_PER_MINUTE", 2)
        monkeypatch.setattr(settings, "DPL_POLL_INTERVAL_S", 600.0)
        assert [box.push(readings=[]).status_code for _ in range(3)] == [200, 200, 429]

    def test_wrong_tokens_are_counted_and_right_ones_go_on(
        self, box: ScriptedAgent, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(agents_api, "WRONG_PER_MINUTE", 1)
        stranger = ScriptedAgent()
        stranger.token = "dpa_of-another-server"
        assert [stranger.push().status_code for _ in range(2)] == [401, 429]
        assert box.push().status_code == 200

    def test_an_api_key_is_no_agents_token(self, keys: dict[str, str]) -> None:
        box = ScriptedAgent()
        box.token = keys["ada"]
        assert box.push().json()["error"]["code"] == "agent_token_unknown"
        assert not Engine.objects.exists()
