"""Nodes and engines in Django's admin, end to end through its pages."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client

from accounts.models import User
from inference.models import Engine
from inference.registration import node_add
from nodes import locks
from nodes.models import LockAudit, Node, NodeLock, NodeStatus
from tests.machines import Said, agent, dead_url, engine, serving

pytestmark = pytest.mark.django_db

LIST = "/admin/nodes/node/"


@pytest.fixture
def admin(people: dict[str, User]) -> Client:
    """Ada's browser."""
    client = Client()
    client.force_login(people["ada"], backend="django.contrib.auth.backends.ModelBackend")
    return client


def form(node: Node | None = None, *engines: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """What a browser sends: the node's fields, and a row for each engine (those with an id are there already)."""
    initial = sum("id" in row for row in engines)
    data: dict[str, Any] = {
        "name": "fast",
        "monitor_base_url": "",
        "agent_token": "",
        "environment": "default",
        "labels": "{}",
        "engines-TOTAL_FORMS": len(engines),
        "engines-INITIAL_FORMS": initial,
        "engines-MIN_NUM_FORMS": 0,
        "engines-MAX_NUM_FORMS": 1000,
    }
    for number, row in enumerate(engines):
        told = {"base_url": "", "kind": "", "slots": "0", "is_enabled": "on", "api_key": ""} | row
        data |= {f"engines-{number}-{key}": value for key, value in told.items() if value is not None}
        if "id" in row and node is not None:
            data[f"engines-{number}-node"] = node.pk
    return data | fields


def errors(answer: Any) -> str:
    """What the page says is wrong."""
    assert answer.status_code == 200, answer.headers
    found = re.findall(r'<ul class="errorlist[^"]*"[^>]*>(.*?)</ul>', answer.content.decode(), re.S)
    return " ".join(re.sub(r"<[^>]+>", "", one) for one in found)


def shown(answer: Any) -> str:
    """The page's text."""
    return str(answer.content.decode())


class TestAdding:
    """The form for a new node."""

    def test_a_node_with_its_engine_is_added_and_asked(self, admin: Client) -> None:
        assert admin.get(f"{LIST}add/").status_code == 200
        with agent(token="t0ken") as box, engine(models=("llama3:8b",)) as url:
            fields = {
                "monitor_base_url": f"{box.url}/status",
                "agent_token": "t0ken",
                "labels": '{"rack":"a"}',
            }
            answer = admin.post(f"{LIST}add/", form(None, {"base_url": f"{url}/api/chat"}, **fields))
        assert answer.status_code == 302, errors(answer)
        node = Node.objects.select_related("status").get()
        assert (node.name, node.monitor_base_url, node.agent_token) == ("fast", box.url, "t0ken")
        assert node.labels == {"rack": "a"}
        assert node.status.state == "online"
        row = Engine.objects.select_related("status").get()
        assert (row.node, row.base_url, row.status.is_online) == (node, url, True)

    def test_an_engine_that_does_not_answer_is_kept_with_the_reason(self, admin: Client) -> None:
        answer = admin.post(f"{LIST}add/", form(None, {"base_url": dead_url()}), follow=True)
        assert "offline" in shown(answer)
        assert "othing listens" in shown(answer)

    def test_what_is_wrong_is_said_at_its_field_and_nothing_is_kept(self, admin: Client) -> None:
        with serving(lambda asked: Said("<html>", kind="text/html")) as page:
            for rows, fields, says in [
                ([{"base_url": page.url}], {}, "a web page"),
                ([{"base_url": "http://169.254.169.254"}], {}, "metadata"),
                ([{"base_url": "ftp://box"}], {}, "engines speak http"),
                ([{"base_url": "http://10.0.0.1", "slots": "5000"}], {}, "from 0"),
                ([{"base_url": "http://10.0.0.1", "api_key": "a b"}], {}, "no header can carry"),
                ([], {"monitor_base_url": "http://8.8.8.8"}, "public address"),
                ([], {"agent_token": "a b"}, "no header can carry"),
                ([], {"labels": "{"}, "valid JSON"),
                ([], {"labels": '{"a": 1}'}, "needs a name and a text"),
                ([], {"environment": "\x01"}, "environment"),
                ([], {"name": ""}, "required"),
            ]:
                answer = admin.post(f"{LIST}add/", form(None, *rows, **fields))
                assert says in errors(answer)
        assert not Node.objects.exists()

    def test_the_same_address_twice_in_one_form_is_refused(self, admin: Client) -> None:
        url = dead_url()
        answer = admin.post(f"{LIST}add/", form(None, {"base_url": url}, {"base_url": f"{url}/v1"}))
        assert "in the form twice" in errors(answer)

    def test_what_another_node_has_is_refused(self, admin: Client) -> None:
        url, box = dead_url(), dead_url()
        node_add(name="slow", llm_url=url, monitor_base_url=box)
        fields = {"name": "slow", "monitor_base_url": box}
        said = errors(admin.post(f"{LIST}add/", form(None, {"base_url": url}, **fields)))
        assert "called slow already" in said
        assert "slow has this agent already" in said
        assert "slow has this engine already" in said


class TestChanging:
    """The form of a node that is there."""

    @pytest.fixture
    def node(self) -> Node:
        return node_add(
            name="fast", llm_url=dead_url(), api_key="k3y", monitor_base_url=dead_url(), agent_token="t0ken"
        )

    def same(self, node: Node, **changes: Any) -> dict[str, Any]:
        row = Engine.objects.get(node=node)
        fields = {key: changes.pop(key) for key in list(changes) if not hasattr(row, key)}
        told = {"id": row.pk, "base_url": row.base_url} | changes
        return form(node, told, monitor_base_url=node.monitor_base_url, **fields)

    def post(self, admin: Client, node: Node, data: dict[str, Any]) -> Any:
        return admin.post(f"{LIST}{node.pk}/change/", data)

    def test_secrets_are_never_shown_and_stay(self, admin: Client, node: Node) -> None:
        page = shown(admin.get(f"{LIST}{node.pk}/change/"))
        assert "t0ken" not in page
        assert "k3y" not in page
        assert self.post(admin, node, self.same(node, name="faster")).status_code == 302
        node.refresh_from_db()
        row = Engine.objects.get()
        assert (node.name, node.agent_token, row.api_key, row.generation) == ("faster", "t0ken", "k3y", 1)

    def test_secrets_are_replaced_and_forgotten(self, admin: Client, node: Node) -> None:
        self.post(admin, node, self.same(node, agent_token="other", api_key="another"))
        node.refresh_from_db()
        assert (node.agent_token, Engine.objects.get().api_key) == ("other", "another")
        data = self.same(node, forget_token="on") | {"engines-0-forget_key": "on"}
        self.post(admin, node, data)
        node.refresh_from_db()
        assert (node.agent_token, Engine.objects.get().api_key) == ("", "")

    def test_another_address_makes_it_another_engine(self, admin: Client, node: Node) -> None:
        with engine(models=("m",)) as url:
            assert self.post(admin, node, self.same(node, base_url=f"{url}/v1")).status_code == 302
        row = Engine.objects.select_related("status").get()
        assert (row.base_url, row.generation, row.status.is_online) == (url, 2, True)

    def test_an_engine_is_added_switched_off_and_removed(self, admin: Client, node: Node) -> None:
        data = self.same(node, is_enabled=None)
        second = {"base_url": dead_url(), "kind": "openai", "slots": "2", "is_enabled": "on", "api_key": ""}
        data |= {f"engines-1-{key}": value for key, value in second.items()} | {"engines-TOTAL_FORMS": 2}
        assert self.post(admin, node, data).status_code == 302
        first, other = Engine.objects.order_by("id")
        assert (first.is_enabled, other.kind, other.slots) == (False, "openai", 2)
        other.delete()
        self.post(admin, node, self.same(node) | {"engines-0-DELETE": "on"})
        first.refresh_from_db()
        assert first.archived_at is not None
        assert first.base_url not in shown(admin.get(f"{LIST}{node.pk}/change/"))

    def test_the_reason_is_shown_and_escaped(self, admin: Client, node: Node) -> None:
        NodeStatus.objects.update(state="degraded", reason="<script>alert(1)</script>")
        for path in (LIST, f"{LIST}{node.pk}/change/"):
            page = shown(admin.get(path))
            assert "&lt;script&gt;alert(1)" in page
            assert "<script>alert" not in page

    def test_removing_archives_and_asks_first(self, admin: Client, node: Node) -> None:
        path = f"{LIST}{node.pk}/delete/"
        assert "fast" in shown(admin.get(path))
        assert admin.post(path, {"post": "yes"}).status_code == 302
        node.refresh_from_db()
        assert node.archived_at is not None
        assert "fast" not in shown(admin.get(LIST, follow=True)).split("messagelist")[-1].split("</ul>")[-1]


class TestActions:
    """What the list offers for the chosen nodes."""

    @pytest.fixture
    def nodes(self) -> list[Node]:
        return [node_add(name="fast"), node_add(name="slow")]

    def act(self, admin: Client, name: str, nodes: list[Node], **more: Any) -> str:
        chosen = {"action": name, "_selected_action": [node.pk for node in nodes], **more}
        return shown(admin.post(LIST, chosen, follow=True))

    def test_lock_and_unlock(self, admin: Client, nodes: list[Node]) -> None:
        assert "fast is locked for one hour" in self.act(admin, "lock_nodes", nodes)
        lock = NodeLock.objects.get(node=nodes[0])
        assert (lock.owner, lock.by) == ("ada", "person")
        assert "ada until" in shown(admin.get(LIST))
        assert "locked by ada" in self.act(admin, "lock_nodes", nodes)
        page = self.act(admin, "unlock_nodes", nodes)
        assert "slow is unlocked" in page
        assert not NodeLock.objects.exists()
        assert "slow was not locked" in self.act(admin, "unlock_nodes", nodes)

    def test_another_persons_lock_is_freed_too(self, admin: Client, nodes: list[Node]) -> None:
        locks.lock_node(node_id=nodes[0].pk, by=locks.PERSON, owner="otto", reason="", ttl_s=60, actor="otto")
        assert "fast is unlocked" in self.act(admin, "unlock_nodes", nodes)
        assert LockAudit.objects.filter(actor="ada", owner="otto", action="unlocked").exists()

    def test_several_are_removed_at_once(self, admin: Client, nodes: list[Node]) -> None:
        assert "fast" in self.act(admin, "delete_selected", nodes)
        self.act(admin, "delete_selected", nodes, post="yes")
        assert Node.objects.filter(archived_at__isnull=True).count() == 0
        assert Node.objects.count() == 2


def test_history_is_read_only(admin: Client) -> None:
    node = node_add(name="fast")
    locks.lock_node(node_id=node.pk, by=locks.PERSON, owner="otto", reason="why", ttl_s=60, actor="otto")
    row = LockAudit.objects.get()
    assert "otto" in shown(admin.get("/admin/nodes/lockaudit/"))
    assert admin.get(f"/admin/nodes/lockaudit/{row.pk}/change/").status_code == 200
    assert admin.post(f"/admin/nodes/lockaudit/{row.pk}/change/", {"owner": "x"}).status_code == 403
    assert admin.get("/admin/nodes/lockaudit/add/").status_code == 403
    assert admin.post(f"/admin/nodes/lockaudit/{row.pk}/delete/", {"post": "yes"}).status_code == 403


def test_operators_do_not_come_in(people: dict[str, User]) -> None:
    client = Client()
    client.force_login(people["otto"], backend="django.contrib.auth.backends.ModelBackend")
    assert client.get(LIST).status_code == 302


def test_the_form_is_guarded_against_forgery(people: dict[str, User]) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(people["ada"], backend="django.contrib.auth.backends.ModelBackend")
    assert client.post(f"{LIST}add/", form()).status_code == 403
    assert not Node.objects.exists()
