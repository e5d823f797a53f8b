"""GET /api/cluster/overview: sums of what is known, and the last five minutes with gaps."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.test import Client

from dpl_site import overview as room
from dpl_site.lib.db import now_ms
from inference.models import GatewayProcess
from nodes.answers import parse_status
from nodes.history import Told, record_readings
from nodes.last_told import last_told
from nodes.models import Node, NodeStatus
from tests.datasets.making import an_instance
from tests.nodes.told import STATUS

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _nothing_told() -> Iterator[None]:
    last_told.forget_all()
    yield
    last_told.forget_all()


def a_node(name: str, reading: dict[str, Any] | None, state: str = "online") -> Node:
    node = Node.objects.create(name=name, monitor_base_url=f"http://{name}.lan:8001")
    text = json.dumps(parse_status(json.dumps(reading).encode())) if reading else ""
    NodeStatus.objects.create(node=node, state=state, reading=text, agent_error="" if reading else "gone")
    return node


def test_an_empty_installation_has_no_zeros_where_nothing_is_known(api: Callable[[str], Client]) -> None:
    found = api("vera").get("/api/cluster/overview").json()
    assert found["nodes"] == {"total": 0, "online": 0, "locked": 0}
    assert found["cpu_percent"] is None
    assert found["memory"] == {"used_bytes": None, "total_bytes": None, "percent": None}
    assert found["gpus"]["total"] == found["gpus"]["busy"] == 0
    assert found["gpus"]["power_w"] is None
    assert found["history"]["nodes"] == []
    assert found["requests_in_flight"] == found["jobs_running"] == found["alerts_firing"] == 0


def test_sums_leave_out_what_is_not_known(api: Callable[[str], Client]) -> None:
    a_node("fast", STATUS)
    a_node("slow", STATUS | {"cpu": {"percent": 37.5}, "gpus": [], "memory": {"percent": 5.0}})
    a_node("dead", None, state="offline")
    found = api("vera").get("/api/cluster/overview").json()
    assert found["nodes"] == {"total": 3, "online": 2, "locked": 0}
    assert found["cpu_percent"] == 25.0
    assert found["memory"] == {"used_bytes": 4, "total_bytes": 16, "percent": 25.0}
    assert found["gpus"] == {
        "total": 1,
        "busy": 1,
        "utilization_percent": 55.0,
        "memory_used_bytes": 12,
        "memory_total_bytes": 24,
        "power_w": 300.5,
    }
    assert found["disk"] == {"read_mb_s": 0.0, "write_mb_s": 3.0}


def test_what_no_node_tells_is_null_and_not_zero(api: Callable[[str], Client]) -> None:
    silent = {"agent_version": "1", "gpus": [{"index": 0, "utilization_percent": None}]}
    a_node("fast", silent)
    found = api("vera").get("/api/cluster/overview").json()
    assert found["gpus"] == {
        "total": 1,
        "busy": 0,
        "utilization_percent": None,
        "memory_used_bytes": None,
        "memory_total_bytes": None,
        "power_w": None,
    }
    assert found["network"] == {"rx_mbps": None, "tx_mbps": None}


def test_the_history_has_gaps_where_nobody_measured(api: Callable[[str], Client]) -> None:
    fast, dead = a_node("fast", STATUS), a_node("dead", None)
    status = parse_status(json.dumps(STATUS | {"sampled_at": None}).encode())
    record_readings(
        told=[Told(fast.id, now_ms() - 120_000, status), Told(fast.id, now_ms() - 60_000, status)]
    )
    history = api("vera").get("/api/cluster/overview").json()["history"]
    assert 295_000 <= history["t"][-1] - history["t"][0] <= 305_000
    curves = {node["id"]: node for node in history["nodes"]}
    for name, value in (("cpu_percent", 12.5), ("gpu_percent", 55.0)):
        assert len(curves[fast.id][name]) == len(history["t"])
        assert [one for one in curves[fast.id][name] if one is not None] == [value, value]
        assert set(curves[dead.id][name]) == {None}


def test_what_the_gateway_has_in_hand_is_counted(
    api: Callable[[str], Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    here = an_instance()
    GatewayProcess.objects.create(id=here.id, instance=here, in_flight={"1": 2, "2": 1})
    monkeypatch.setattr(room, "firing_count", lambda: 4)
    found = api("vera").get("/api/cluster/overview").json()
    assert (found["requests_in_flight"], found["alerts_firing"]) == (3, 4)


def test_nobody_else_reads_it(api: Callable[[str], Client]) -> None:
    assert api("").get("/api/cluster/overview").status_code == 401
