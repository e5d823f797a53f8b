"""The fleet from a terminal: `manage.py node` and `manage.py unlock`."""

from __future__ import annotations

import json
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from inference import slots
from inference.models import Engine
from inference.registration import node_add
from nodes import locks
from nodes.models import LockAudit, Node, NodeLock
from tests.datasets.making import an_instance
from tests.machines import Said, agent, dead_url, engine, serving

pytestmark = pytest.mark.django_db


def run(*words: str) -> str:
    out = StringIO()
    call_command(*words, stdout=out, stderr=out)
    return out.getvalue()


def complaint(*words: str) -> str:
    with pytest.raises(CommandError) as raised:
        run(*words)
    return str(raised.value)


def lock(node: Node, owner: str = "otto") -> None:
    locks.lock_node(node_id=node.id, by=locks.PERSON, owner=owner, reason="", ttl_s=60, actor=owner)


class TestAdd:
    """`node add`."""

    def test_it_adds_asks_and_tells(self) -> None:
        with agent(token="t") as box, engine(models=("llama3:8b",)) as url:
            words = [
                "--llm",
                url,
                "--monitor",
                box.url,
                "--token",
                "t",
                "--slots",
                "2",
                "--environment",
                "lab",
            ]
            said = run("node", "add", "fast", *words, "--label", "rack=a1", "--label", "note=a=b")
        node = Node.objects.get()
        assert (node.environment, node.labels) == ("lab", {"rack": "a1", "note": "a=b"})
        assert said.startswith(f"Node {node.id} added: fast: online; ollama {url}; 0/2 slots busy; models:")

    def test_a_silent_machine_is_added_and_said(self) -> None:
        assert "dead: offline (engine: Nothing listens" in run("node", "add", "dead", "--llm", dead_url())

    def test_what_is_wrong_is_said_in_a_sentence(self) -> None:
        assert "metadata" in complaint("node", "add", "x", "--llm", "http://169.254.169.254")
        assert "name=value" in complaint("node", "add", "x", "--llm", dead_url(), "--label", "rack")
        with serving(lambda asked: Said("<html>", kind="text/html")) as server:
            assert "a web page" in complaint("node", "add", "x", "--llm", server.url)
        assert "--llm" in complaint("node", "add", "x")
        assert not Node.objects.exists()


class TestList:
    """`node list`."""

    def test_an_empty_fleet_says_what_to_do(self) -> None:
        assert "node add NAME --llm" in run("node", "list")
        assert json.loads(run("node", "list", "--json")) == []

    def test_each_machine_is_a_line(self) -> None:
        node = node_add(name="fast", llm_url=dead_url())
        lock(node)
        [line] = run("node", "list").splitlines()
        assert line.startswith(f"{node.id}\tfast: offline (engine: Nothing listens")
        assert "locked by otto until" in line

    def test_as_json_it_is_the_contracts_shape(self) -> None:
        node_add(name="快")
        [view] = json.loads(run("node", "list", "--json"))
        assert (view["name"], view["engines"], view["slots"]) == ("快", [], {"total": 0, "busy": 0})


class TestRemove:
    """`node remove`."""

    def test_by_name_or_by_id(self) -> None:
        node_add(name="fast")
        slow = node_add(name="slow")
        assert "fast is out of the fleet" in run("node", "remove", "fast")
        assert "slow is out of the fleet" in run("node", "remove", str(slow.id))
        assert "no node slow" in complaint("node", "remove", "slow")
        assert "no node 999" in complaint("node", "remove", "999")

    def test_a_name_that_looks_like_an_id_is_a_name_first(self) -> None:
        first = node_add(name="other")
        node_add(name=str(first.id))
        run("node", "remove", str(first.id))
        assert Node.objects.get(archived_at__isnull=True).name == "other"


class TestUnlock:
    """`unlock`."""

    def test_one_node(self) -> None:
        node = node_add(name="fast")
        lock(node)
        assert run("unlock", "--node", "fast") == "fast is unlocked.\n"
        assert run("unlock", "--node", str(node.id)) == "fast was not locked.\n"
        assert LockAudit.objects.filter(action="unlocked", owner="otto").exclude(actor="otto").exists()

    def test_all_and_dead_leases(self) -> None:
        node = node_add(name="fast", llm_url=dead_url())
        lock(node)
        dead = an_instance()
        slots.claim(engine_ids=[Engine.objects.get().id], instance_id=dead.id, work_class=slots.BATCH)
        type(dead).objects.update(expires_ms=0)
        assert run("unlock", "--all") == "1 locks and 1 leases freed.\n"
        assert not NodeLock.objects.exists()

    def test_it_needs_to_know_which(self) -> None:
        assert "required" in complaint("unlock")
        assert "no node x" in complaint("unlock", "--node", "x")
