"""Nodes, engines and locks over HTTP: the right status, the contract's shapes, and who may do what."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from typing import Any, ClassVar

import pytest
from django.test import Client

from dpl_site.lib.db import now_ms
from inference import slots
from inference.models import Engine, EngineModel
from inference.registration import node_add
from nodes import locks
from nodes.models import LockAudit, Node, NodeLock, NodeStatus
from nodes.selectors import standing_lock
from tests.datasets.making import an_engine, an_instance
from tests.machines import Said, dead_url, engine, serving

Api = Callable[[str], Client]

pytestmark = pytest.mark.django_db


def send(client: Client, method: str, path: str, body: Any = None) -> Any:
    return client.generic(method, path, json.dumps(body or {}), content_type="application/json")


@pytest.fixture
def fast() -> Node:
    return node_add(name="fast", llm_url=dead_url())


class TestWhoMay:
    """Scopes and roles."""

    PATHS = (
        ("GET", "/api/status/all", "read"),
        ("GET", "/api/v1/nodes/", "read"),
        ("GET", "/api/v1/nodes/{id}", "read"),
        ("GET", "/api/v1/engines/", "read"),
        ("POST", "/api/v1/nodes/{id}/lock", "chat"),
        ("POST", "/api/v1/nodes/{id}/unlock", "chat"),
        ("POST", "/api/unlock/all", "admin"),
        ("POST", "/api/v1/nodes/", "admin"),
        ("PATCH", "/api/v1/nodes/{id}/", "admin"),
        ("POST", "/api/v1/engines/", "admin"),
        ("DELETE", "/api/v1/nodes/{id}/", "admin"),
    )
    MAY: ClassVar = {
        "ada": {"read", "chat", "admin"},
        "otto": {"read", "chat"},
        "vera": {"read"},
        "": set[str](),
    }

    @pytest.mark.parametrize("name", MAY)
    def test_each_path_asks_for_its_scope(self, api: Api, fast: Node, name: str) -> None:
        client = api(name)
        for method, path, scope in self.PATHS:
            answer = send(client, method, path.format(id=fast.id))
            if not name:
                assert answer.status_code == 401, path
            elif scope in self.MAY[name]:
                assert answer.status_code not in (401, 403, 404, 405), path
            else:
                assert answer.status_code == 403, path
                assert answer.json()["error"]["detail"] == {"scope": scope}


class TestNodes:
    """/api/v1/nodes/."""

    def test_a_node_is_added_asked_and_shown(self, api: Api) -> None:
        with engine(models=("llama3:8b",)) as url:
            body = {"name": "快", "llm_url": f"{url}/v1", "labels": {"rack": "a1"}, "slots": 2}
            answer = send(api("ada"), "POST", "/api/v1/nodes/", body)
        assert answer.status_code == 201
        told = answer.json()
        assert (told["name"], told["state"], told["models"]) == ("快", "online", ["llama3:8b"])
        assert (told["labels"], told["slots"]) == ({"rack": "a1"}, {"total": 2, "busy": 0})
        assert (told["monitor_base_url"], told["has_agent_token"]) == ("", False)
        shown = api("vera").get(f"/api/v1/nodes/{told['id']}").json()
        assert shown == told

    def test_one_that_does_not_answer_is_added_as_offline_with_the_reason(self, api: Api) -> None:
        answer = send(api("ada"), "POST", "/api/v1/nodes", {"name": "dead", "llm_url": dead_url()})
        assert answer.status_code == 201
        assert answer.json()["state"] == "offline"
        assert "othing listens" in answer.json()["reason"]

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({"llm_url": "http://10.0.0.1"}, "name"),
            ({"name": "fast"}, "llm_url"),
            ({"name": "fast", "llm_url": "http://169.254.169.254"}, "llm_url"),
            ({"name": "fast", "llm_url": "not an address"}, "llm_url"),
            ({"name": "fast", "llm_url": ["http://10.0.0.1"]}, "llm_url"),
            ({"name": "fast", "llm_url": "http://10.0.0.1", "slots": "many"}, "slots"),
            ({"name": "fast", "llm_url": "http://10.0.0.1", "labels": [1]}, "labels"),
            ({"name": "a\x00b", "llm_url": "http://10.0.0.1"}, "name"),
        ],
    )
    def test_bad_input_is_400_at_its_field(self, api: Api, body: dict[str, Any], field: str) -> None:
        answer = send(api("ada"), "POST", "/api/v1/nodes/", body)
        assert answer.status_code == 400
        assert list(answer.json()["error"]["detail"]) == [field]
        assert not Node.objects.exists()

    def test_what_is_no_engine_is_400_in_words(self, api: Api) -> None:
        with serving(lambda asked: Said("<html>", kind="text/html")) as server:
            answer = send(api("ada"), "POST", "/api/v1/nodes/", {"name": "fast", "llm_url": server.url})
        assert answer.status_code == 400
        assert answer.json()["error"]["code"] == "not_an_engine"
        assert "a web page" in answer.json()["error"]["message"]

    def test_it_is_listed_in_pages_and_filtered(self, api: Api) -> None:
        for name, environment in [("fast", "lab"), ("slow", "lab"), ("other", "default")]:
            node_add(name=name, environment=environment)
        NodeStatus.objects.filter(node__name="slow").update(state="online")

        def names(query: str) -> list[str]:
            return [node["name"] for node in api("vera").get(f"/api/v1/nodes/{query}").json()["results"]]

        assert names("") == ["fast", "slow", "other"]
        assert names("?environment=lab") == ["fast", "slow"]
        assert names("?state=online") == ["slow"]
        assert names("?name=AS") == ["fast"]
        page = api("vera").get("/api/v1/nodes/?page=2&page_size=2").json()
        assert (page["count"], page["next"], len(page["results"])) == (3, None, 1)

    def test_a_page_of_nodes_takes_few_queries(
        self, api: Api, django_assert_max_num_queries: Callable[..., Any]
    ) -> None:
        for number in range(10):
            node_add(name=f"n{number}")
        client = api("vera")
        client.get("/api/v1/nodes/")
        with django_assert_max_num_queries(12):
            client.get("/api/v1/nodes/")

    def test_it_is_changed(self, api: Api, fast: Node) -> None:
        answer = send(
            api("ada"), "PATCH", f"/api/v1/nodes/{fast.id}", {"name": "faster", "agent_token": "secret"}
        )
        assert answer.status_code == 200
        assert answer.json()["name"] == "faster"
        assert answer.json()["has_agent_token"] is True
        assert "secret" not in answer.content.decode()

    def test_it_is_removed_once(self, api: Api, fast: Node) -> None:
        assert send(api("ada"), "DELETE", f"/api/v1/nodes/{fast.id}/").status_code == 204
        assert send(api("ada"), "DELETE", f"/api/v1/nodes/{fast.id}/").status_code == 404
        assert api("ada").get(f"/api/v1/nodes/{fast.id}/").status_code == 404
        assert api("ada").get("/api/v1/nodes/").json()["count"] == 0

    @pytest.mark.parametrize("path", ["/api/v1/nodes/999", "/api/v1/nodes/abc", "/api/v1/engines/999"])
    def test_an_unknown_one_is_404_in_json(self, api: Api, path: str) -> None:
        answer = api("ada").get(path)
        assert answer.status_code == 404
        assert answer.json()["error"]["code"] == "not_found"

    def test_a_method_that_is_not_there_is_405(self, api: Api, fast: Node) -> None:
        assert send(api("ada"), "PUT", f"/api/v1/nodes/{fast.id}/").status_code == 405


class TestLocks:
    """/api/v1/nodes/{id}/lock and /unlock."""

    def test_an_operator_locks_renews_and_unlocks_his_own(self, api: Api, fast: Node) -> None:
        path = f"/api/v1/nodes/{fast.id}"
        answer = send(api("otto"), "POST", f"{path}/lock", {"reason": "training", "ttl_s": 60})
        assert answer.status_code == 200
        lock = answer.json()["lock"]
        assert (lock["owner"], lock["by"], lock["reason"]) == ("otto", "person", "training")
        first = NodeLock.objects.get()

        answer = send(api("otto"), "POST", f"{path}/lock/", {"reason": "longer", "ttl_s": 7200})
        assert answer.status_code == 200
        renewed = NodeLock.objects.get()
        assert (renewed.id, renewed.reason) == (first.id, "longer")
        assert renewed.expires_ms > first.expires_ms + 3_600_000

        answer = send(api("otto"), "POST", f"{path}/unlock")
        assert (answer.status_code, answer.json()["locked"]) == (200, False)
        assert [row.action for row in LockAudit.objects.order_by("id")] == ["locked", "renewed", "unlocked"]

    def test_anothers_lock_is_409_with_that_lock(self, api: Api, fast: Node) -> None:
        send(api("otto"), "POST", f"/api/v1/nodes/{fast.id}/lock", {"reason": "training"})
        answer = send(api("stan"), "POST", f"/api/v1/nodes/{fast.id}/lock")
        assert answer.status_code == 409
        error = answer.json()["error"]
        assert error["code"] == "locked"
        assert error["detail"]["lock"]["owner"] == "otto"
        assert "locked by otto until" in error["message"]

    def test_anothers_lock_is_freed_by_an_admin_only(self, api: Api, fast: Node) -> None:
        path = f"/api/v1/nodes/{fast.id}"
        send(api("otto"), "POST", f"{path}/lock")
        answer = send(api("stan"), "POST", f"{path}/unlock")
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "not_your_lock")
        assert send(api("ada"), "POST", f"{path}/unlock").json()["locked"] is False

    def test_an_agents_own_lock_is_409(self, api: Api, fast: Node) -> None:
        kept = {"id": "x", "owner": "backup", "installation": None, "reason": "disk", "expires_at": None}
        text = json.dumps({**kept, "expires_ms": now_ms() + 60_000})
        NodeStatus.objects.update(foreign_lock=text)
        for verb in ("lock", "unlock"):
            answer = send(api("ada"), "POST", f"/api/v1/nodes/{fast.id}/{verb}")
            assert answer.status_code == 409
            assert answer.json()["error"]["detail"]["lock"]["by"] == "agent"

    @pytest.mark.parametrize(
        "body", [{"ttl_s": 0}, {"ttl_s": "long"}, {"ttl_s": 1e12}, {"reason": "x" * 301}]
    )
    def test_bad_input_is_400(self, api: Api, fast: Node, body: dict[str, Any]) -> None:
        answer = send(api("otto"), "POST", f"/api/v1/nodes/{fast.id}/lock", body)
        assert answer.status_code == 400
        assert list(answer.json()["error"]["detail"]) == list(body)
        assert standing_lock(node_id=fast.id) is None

    @pytest.mark.parametrize("verb", ["lock", "unlock"])
    def test_an_unknown_node_is_404(self, api: Api, verb: str) -> None:
        assert send(api("ada"), "POST", f"/api/v1/nodes/999/{verb}").status_code == 404

    def test_all_are_unlocked_at_once_and_dead_leases_freed(self, api: Api, fast: Node) -> None:
        send(api("otto"), "POST", f"/api/v1/nodes/{fast.id}/lock")
        slow = node_add(name="slow")
        locks.lock_node(
            node_id=slow.id, by=locks.JOB, owner="set", job_id="j", reason="", ttl_s=60, actor="controller"
        )
        dead, alive = an_instance(), an_instance()
        row = Engine.objects.get()
        slots.sync_slots(engine_id=row.id, count=2)
        for instance in (dead, alive):
            slots.claim(engine_ids=[row.id], instance_id=instance.id, work_class=slots.BATCH)
        type(dead).objects.filter(id=dead.id).update(expires_ms=0)

        answer = send(api("ada"), "POST", "/api/unlock/all")
        assert answer.json() == {"unlocked": 2, "leases": 1}
        assert api("ada").get("/api/unlock/all").status_code == 405


class TestEngines:
    """/api/v1/engines/."""

    def test_the_life_of_one(self, api: Api, fast: Node) -> None:
        with engine(dialect="openai", models=("m",)) as url:
            answer = send(api("ada"), "POST", "/api/v1/engines/", {"node": fast.id, "llm_url": f"{url}/v1"})
            assert answer.status_code == 201
            told = answer.json()
            assert (told["node"], told["kind"], told["online"], told["base_url"]) == (
                fast.id,
                "openai",
                True,
                url,
            )
            path = f"/api/v1/engines/{told['id']}/"
            changed = send(api("ada"), "PATCH", path, {"slots": 3, "enabled": False, "api_key": "k"}).json()
            assert (changed["slots"], changed["enabled"], changed["has_api_key"]) == (3, False, True)
        assert send(api("ada"), "DELETE", path).status_code == 204
        assert api("ada").get(path).status_code == 404

    def test_they_are_filtered(self, api: Api, fast: Node) -> None:
        with engine(models=("m",)) as url:
            send(api("ada"), "POST", "/api/v1/engines/", {"node": fast.id, "llm_url": url})

        def count(query: str) -> int:
            return int(api("vera").get(f"/api/v1/engines/{query}").json()["count"])

        assert count("") == 2
        assert count("?online=true") == 1
        assert count("?online=0") == 1
        assert count("?kind=ollama") == 1
        assert count(f"?node={fast.id}") == 2
        assert api("vera").get("/api/v1/engines/?node=abc").status_code == 400
        assert api("vera").get("/api/v1/engines/?online=perhaps").status_code == 400

    def test_an_engine_of_no_node_is_404(self, api: Api) -> None:
        answer = send(api("ada"), "POST", "/api/v1/engines/", {"node": 999, "llm_url": dead_url()})
        assert answer.status_code == 404


def test_the_status_of_all_is_the_contracts(api: Api, fast: Node) -> None:
    answer = api("vera").get("/api/status/all")
    assert answer.status_code == 200
    assert set(answer.json()) == {"generated_at", "nodes"}
    assert answer.json()["nodes"][0]["name"] == "fast"
    assert api("vera").post("/api/status/all").status_code == 405
    assert api("vera").head("/api/status/all").status_code == 200


def test_the_schema_describes_it_without_a_warning() -> None:
    from drf_spectacular.drainage import GENERATOR_STATS
    from drf_spectacular.generators import SchemaGenerator

    from inference import urls

    with warnings.catch_warnings(), GENERATOR_STATS.silence():
        generator: Any = SchemaGenerator
        schema = generator(patterns=urls.urlpatterns).get_schema(request=None, public=True)
        told = {**GENERATOR_STATS._warn_cache, **GENERATOR_STATS._error_cache}
    assert told == {}
    assert "/api/v1/nodes/{id}/lock" in {path.rstrip("/") for path in schema["paths"]}
    fields = schema["components"]["schemas"]["NodeOut"]["properties"]
    assert "total" in json.dumps(schema)
    assert {"engines", "metrics", "lock", "slots"} <= set(fields)


class TestOddInput:
    """What no honest client sends is a bad request, never a defect."""

    def test_a_body_that_is_nested_too_deep(self, api: Api) -> None:
        body = '{"name": "n", "labels": ' + "[" * 100_000 + "]" * 100_000 + "}"
        answer = api("ada").generic("POST", "/api/v1/nodes/", body, content_type="application/json")
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "bad_request")

    @pytest.mark.parametrize(
        "query", ["engines/?node=99999999999999999999999", "engines/?kind=foo", "nodes/?state=bogus"]
    )
    def test_a_filter_that_no_row_can_fit(self, api: Api, query: str) -> None:
        assert api("vera").get(f"/api/v1/{query}").status_code == 400

    def test_a_field_that_cannot_be_changed_here(self, api: Api, fast: Node) -> None:
        answer = send(api("ada"), "PATCH", f"/api/v1/nodes/{fast.id}/", {"llm_url": "http://10.0.0.1:1"})
        assert answer.status_code == 400
        assert "/api/v1/engines/" in answer.json()["error"]["message"]
        assert "llm_url" in answer.json()["error"]["detail"]

    def test_something_that_is_no_engine_whatever_kind_is_said(self, api: Api, fast: Node) -> None:
        with serving(lambda asked: Said({"hello": 1}, status=404)) as other:
            body = {"node": fast.id, "llm_url": other.url, "kind": "ollama"}
            answer = send(api("ada"), "POST", "/api/v1/engines/", body)
        assert answer.status_code == 400

    def test_an_engine_of_this_machine_under_another_name(self, api: Api) -> None:
        with engine() as url:
            node = node_add(name="here", llm_url=url)
            body = {"node": node.id, "llm_url": url.replace("127.0.0.1", "localhost")}
            answer = send(api("ada"), "POST", "/api/v1/engines/", body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "duplicate")


def test_models_are_listed_in_pages_with_where_they_are(api: Api) -> None:
    an_engine("fast", models=("llama3:8b", "qwen3:4b"))
    cold = an_engine("slow", models=("llama3:8b", "phi4"))
    EngineModel.objects.filter(engine=cold).update(is_resident=False)
    answer = api("vera").get("/api/v1/models/?page_size=2").json()
    assert (answer["count"], [one["name"] for one in answer["results"]]) == (3, ["llama3:8b", "phi4"])
    assert [node["resident"] for node in answer["results"][0]["nodes"]] == [True, False]
    assert [one["name"] for one in api("vera").get("/api/v1/models?resident=false").json()["results"]] == [
        "phi4"
    ]
    assert [one["name"] for one in api("vera").get("/api/v1/models?name=QWEN").json()["results"]] == [
        "qwen3:4b"
    ]
    assert api("vera").get("/api/v1/models?resident=maybe").status_code == 400
