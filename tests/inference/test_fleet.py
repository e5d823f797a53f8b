"""The fleet as clients see it: the contract's shape, in a few queries."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from dpl_site.lib.db import now_ms
from inference import slots
from inference.fleet import status_all, status_node
from inference.models import Engine, EngineModel, EngineStatus
from nodes.instances import expire
from nodes.models import Node, NodeLock, NodeStatus
from tests.datasets.making import an_instance
from tests.nodes.told import STATUS

pytestmark = pytest.mark.django_db

AT = datetime(2026, 11, 21, 10, tzinfo=UTC)
ISO = "2026-11-21T10:00:00.000Z"


def a_node(name: str, number: int = 1, **status: Any) -> Node:
    node = Node.objects.create(
        name=name, monitor_base_url=f"http://10.0.0.{number}:8001", labels={"rack": "a"}
    )
    told: dict[str, Any] = {"state": "online", "since": AT, "sampled_at": AT, "reading": json.dumps(STATUS)}
    NodeStatus.objects.create(node=node, **(told | status))
    engine = Engine.objects.create(node=node, base_url=f"http://10.0.0.{number}:11434")
    EngineStatus.objects.create(engine=engine, kind="ollama", is_online=True, server="Ollama 0.33")
    EngineModel.objects.create(engine=engine, name="llama3:8b", is_resident=True, size_bytes=5)
    EngineModel.objects.create(engine=engine, name="embed", is_resident=False)
    slots.sync_slots(engine_id=engine.id, count=4)
    return node


def engine_of(node: Node) -> Engine:
    return Engine.objects.get(node=node)


def view(node: Node) -> Any:
    found = status_node(node.id)
    assert found is not None
    return found


def test_it_has_the_shape_of_the_contract() -> None:
    node = a_node("fast")
    engine = engine_of(node)
    fleet = status_all()
    assert str(fleet["generated_at"]).endswith("Z")
    assert fleet["nodes"] == [
        {
            "id": node.id,
            "name": "fast",
            "environment": "default",
            "labels": {"rack": "a"},
            "online": True,
            "state": "online",
            "reason": "",
            "since": ISO,
            "locked": False,
            "lock": None,
            "slots": {"total": 4, "busy": 0},
            "engines": [
                {
                    "id": engine.id,
                    "kind": "ollama",
                    "base_url": "http://10.0.0.1:11434",
                    "online": True,
                    "reason": "",
                    "enabled": True,
                    "breaker_open": False,
                    "server": "Ollama 0.33",
                    "models": [
                        {"name": "embed", "resident": False, "size_bytes": None},
                        {"name": "llama3:8b", "resident": True, "size_bytes": 5},
                    ],
                }
            ],
            "models": ["embed", "llama3:8b"],
            "sampled_at": ISO,
            "clock_skew_s": None,
            "metrics": {
                "cpu_percent": 12.5,
                "memory_percent": 25.0,
                "memory_used_bytes": 4,
                "memory_total_bytes": 16,
                "net_rx_mbps": 0.1,
                "net_tx_mbps": 0.2,
                "disk_read_mb_s": 0.0,
                "disk_write_mb_s": 1.5,
                "gpus": [
                    {
                        "index": 0,
                        "name": "NVIDIA GeForce RTX 4090",
                        "vendor": "nvidia",
                        "utilization_percent": 55.0,
                        "memory_used_bytes": 12,
                        "memory_total_bytes": 24,
                        "temperature_c": 61.0,
                        "power_w": 300.5,
                    }
                ],
                "gpu_error": None,
            },
        }
    ]


def test_a_slot_is_busy_while_its_holder_lives() -> None:
    node, worker = a_node("fast"), an_instance()
    slots.claim(engine_ids=[engine_of(node).id], instance_id=worker.id, work_class=slots.BATCH, limit=3)
    assert view(node)["slots"] == {"total": 4, "busy": 3}
    expire(instance_id=worker.id)
    assert view(node)["slots"] == {"total": 4, "busy": 0}


def test_a_lock_is_shown_until_its_end() -> None:
    node = a_node("fast")
    lock = NodeLock.objects.create(
        node=node, by="job", owner="my dataset", reason="all of it", expires_ms=now_ms() + 60_000
    )
    assert view(node)["locked"] is True
    assert view(node)["lock"] == {
        "owner": "my dataset",
        "reason": "all of it",
        "expires_at": view(node)["lock"]["expires_at"],
        "by": "job",
    }
    assert view(node)["lock"]["expires_at"].endswith("Z")
    NodeLock.objects.filter(id=lock.id).update(expires_ms=now_ms() - 1)
    assert (view(node)["locked"], view(node)["lock"]) == (False, None)


def test_an_agents_own_lock_is_shown_too() -> None:
    kept = {"id": "x", "owner": "backup", "installation": None, "reason": "disk", "expires_at": None}
    node = a_node("fast", foreign_lock=json.dumps({**kept, "expires_ms": now_ms() + 60_000}))
    assert view(node)["locked"] is True
    assert (view(node)["lock"]["by"], view(node)["lock"]["owner"]) == ("agent", "backup")


def test_a_silent_agent_has_no_measurements() -> None:
    node = a_node("fast", state="degraded", reason="agent: silent", agent_error="silent")
    found = view(node)
    assert (found["online"], found["state"], found["metrics"]) == (True, "degraded", None)
    assert found["sampled_at"] == ISO


def test_an_offline_engine_has_nothing_in_memory() -> None:
    node = a_node("fast", state="offline", reason="engine: gone")
    EngineStatus.objects.update(is_online=False, reason="gone")
    found = view(node)
    assert found["online"] is False
    assert found["engines"][0]["online"] is False
    assert found["engines"][0]["reason"] == "gone"
    assert not any(model["resident"] for model in found["engines"][0]["models"])


def test_an_engine_that_is_switched_off_says_so() -> None:
    node = a_node("fast")
    Engine.objects.update(is_enabled=False)
    [engine] = view(node)["engines"]
    assert (engine["online"], engine["enabled"], engine["reason"]) == (False, False, "it is switched off")


def test_an_open_breaker_is_told() -> None:
    node = a_node("fast")
    slots.open_breaker(engine_id=engine_of(node).id, reason="connection refused")
    [engine] = view(node)["engines"]
    assert (engine["breaker_open"], engine["reason"]) == (True, "connection refused")


def test_a_node_that_nobody_has_asked_yet_is_unknown() -> None:
    node = Node.objects.create(name="new")
    Engine.objects.create(node=node, base_url="http://10.0.0.1:1")
    found = view(node)
    assert (found["state"], found["online"], found["metrics"]) == ("unknown", False, None)
    assert found["engines"][0]["reason"] == "it has not been asked yet"


def test_what_left_the_fleet_is_not_shown() -> None:
    gone, fast = a_node("gone"), a_node("fast", 2)
    Node.objects.filter(id=gone.id).update(archived_at=AT)
    Engine.objects.filter(node=fast).update(archived_at=AT)
    assert status_node(gone.id) is None
    assert [node["name"] for node in status_all()["nodes"]] == ["fast"]
    assert view(fast)["engines"] == []
    assert view(fast)["slots"] == {"total": 0, "busy": 0}


def test_twenty_nodes_take_as_many_queries_as_one(django_assert_max_num_queries: Callable[..., Any]) -> None:
    for number in range(20):
        a_node(f"n{number}", number)
    with django_assert_max_num_queries(7):
        assert len(status_all()["nodes"]) == 20
