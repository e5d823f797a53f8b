"""`GET /metrics`, whole: what stands in it, that Prometheus can read it, and what it costs."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django_q.models import OrmQ
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from datasets.models import Shard
from dpl_site.lib.clock import utc_now
from inference.models import Engine, EngineStatus, Slot
from nodes import locks
from nodes.instances import register
from nodes.leadership import campaign
from nodes.models import Node, NodeStatus
from tests.datasets.making import a_job, an_engine
from tests.nodes.told import STATUS

pytestmark = pytest.mark.django_db
Found = dict[tuple[str, ...], float]
Api = Callable[[str], Client]


def scraped(client: Client) -> Found:
    """Every sample by its name and its labels' values in the order of their names."""
    text = client.get("/metrics").content.decode()
    return {
        (one.name, *(value for _, value in sorted(one.labels.items()))): one.value
        for family in text_string_to_metric_families(text)
        for one in family.samples
    }


def a_node(name: str, *, gpus: int = 1, **status: Any) -> Node:
    """An online node with a reading of now."""
    reading = copy.deepcopy(STATUS)
    reading["gpus"] = [reading["gpus"][0] | {"index": index} for index in range(gpus)]
    node = Node.objects.create(name=name, monitor_base_url=f"http://{name}:8001")
    told = {"state": "online", "reading": json.dumps(reading), "sampled_at": utc_now(), "clock_skew_s": 0.5}
    NodeStatus.objects.create(node=node, **(told | status))
    return node


def test_a_node_is_told_with_its_state_lock_and_clock(api: Api) -> None:
    node = a_node("n1")
    a_node("n2", state="offline", clock_skew_s=None, sampled_at=utc_now() - timedelta(seconds=90))
    locks.lock_node(node_id=node.id, by="person", owner="ada", reason="", ttl_s=60, actor="ada")
    found = scraped(api("vera"))
    assert (found["dpl_node_up", "n1"], found["dpl_node_up", "n2"]) == (1, 0)
    assert [found["dpl_node_state", "n2", state] for state in ("offline", "online")] == [1, 0]
    assert (found["dpl_node_locked", "n1"], found["dpl_node_locked", "n2"]) == (1, 0)
    assert found["dpl_node_clock_skew_seconds", "n1"] == 0.5
    assert ("dpl_node_clock_skew_seconds", "n2") not in found
    assert 90 <= found["dpl_node_reading_age_seconds", "n2"] < 120


def test_its_figures_come_in_base_units(api: Api) -> None:
    a_node("n1", gpus=2)
    found = scraped(api("vera"))
    assert found["dpl_node_cpu_ratio", "n1"] == pytest.approx(0.125)
    assert found["dpl_node_net_rx_bytes_per_second", "n1"] == pytest.approx(12_500)
    assert found["dpl_filesystem_ratio", "/", "n1"] == 0.5
    assert found["dpl_gpu_utilization_ratio", "1", "n1"] == pytest.approx(0.55)
    assert found["dpl_gpu_power_watts", "0", "n1"] == 300.5
    assert found["dpl_gpu_power_limit_watts", "0", "n1"] == 450
    assert found["dpl_gpu_processes", "0", "n1"] == 1
    assert found["dpl_gpu_info", "0", "NVIDIA GeForce RTX 4090", "n1", "nvidia"] == 1
    assert ("dpl_node_cpu_temperature_celsius", "n1") not in found


def test_figures_of_another_time_are_not_told_as_if_they_were_of_now(api: Api) -> None:
    a_node("old", sampled_at=utc_now() - timedelta(minutes=10))
    a_node("silent", agent_error="nothing listens")
    names = {name for name, *_ in scraped(api("vera"))}
    assert "dpl_node_up" in names
    assert not {"dpl_node_cpu_ratio", "dpl_gpu_power_watts", "dpl_gpu_info"} & names


def test_hostile_names_and_twin_gpus_leave_the_text_readable(api: Api) -> None:
    name = 'a"b\\c\nd{x="1"} 5'
    node = a_node(name, gpus=2)
    reading = json.loads(node.status.reading)
    reading["gpus"][1]["index"] = 0
    reading["gpus"][1]["name"] = name
    NodeStatus.objects.update(reading=json.dumps(reading))
    found = scraped(api("vera"))
    assert found["dpl_node_up", name] == 1
    assert found["dpl_gpu_processes", "0", name] == 1
    text = api("vera").get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    families: Any = openmetrics.text_string_to_metric_families
    assert list(families(text.content.decode()))


def test_engines_slots_and_models_are_summed_by_node(api: Api) -> None:
    engine = an_engine("n1", slots=3)
    EngineStatus.objects.create(
        engine=Engine.objects.create(node=engine.node, base_url="http://127.0.0.1/2"), is_online=False
    )
    Slot.objects.filter(engine=engine, index=0).update(holder=register(kind="web"))
    found = scraped(api("vera"))
    assert (found["dpl_engines", "n1"], found["dpl_engines_online", "n1"]) == (2, 1)
    assert (found["dpl_slots", "n1"], found["dpl_slots_busy", "n1"]) == (3, 1)
    assert found["dpl_models_resident", "n1"] == 1
    assert found["dpl_slot_waiters", "interactive"] == 0


def test_jobs_and_items_are_counted(api: Api) -> None:
    job = a_job(5)
    Shard.objects.filter(job=job).update(succeeded=2, failed=1)
    found = scraped(api("vera"))
    assert (found["dpl_jobs", "queued"], found["dpl_jobs", "failed"]) == (1, 0)
    assert [found["dpl_job_items", state] for state in ("succeeded", "failed", "unfinished")] == [2, 1, 2]
    assert found[("dpl_job_items_per_second",)] == 0


def test_items_that_were_recorded_lately_make_the_rate(api: Api) -> None:
    job, engine = a_job(6), an_engine("n1")
    now = int(time.time() * 1000)
    job.items.filter(index__lt=3).update(state="succeeded", node=engine.node, finished_ms=now - 10_000)
    job.items.filter(index=4).update(state="succeeded", node=engine.node, finished_ms=now - 100_000)
    assert scraped(api("vera"))[("dpl_job_items_per_second",)] == pytest.approx(3 / 60)


def test_the_installation_tells_of_its_processes_and_of_the_lead(api: Api) -> None:
    before = scraped(api("vera"))
    assert (before["dpl_processes", "controller"], before[("dpl_controller_leading",)]) == (0, 0)
    campaign(name="controller", instance_id=register(kind="controller").id)
    OrmQ.objects.create(key="dpl", payload="", lock=timezone.now() - timedelta(seconds=30))
    found = scraped(api("vera"))
    assert (found["dpl_processes", "controller"], found["dpl_processes", "worker"]) == (1, 0)
    assert (found[("dpl_controller_leading",)], found[("dpl_controller_epoch",)]) == (1, 1)
    assert found[("dpl_controller_lead_age_seconds",)] < 30
    assert found["dpl_process_heartbeat_age_seconds", "controller"] < 30
    assert found[("dpl_wake_ups",)] == 1
    assert 30 <= found[("dpl_wake_ups_oldest_seconds",)] < 120
    assert found["dpl_database_size_bytes", connection.vendor] > 10_000
    assert (("dpl_database_connections",) in found) == (connection.vendor == "postgresql")
    assert found[("dpl_data_dir_free_bytes",)] > 0
    assert found["dpl_build_info", "0.1.0"] == 1


def test_more_nodes_cost_no_more_queries(api: Api) -> None:
    client = api("vera")

    def queries() -> int:
        with CaptureQueriesContext(
            connection,
        ) as context:
            assert client.get("/metrics").status_code == 200
        return len(context)

    an_engine("n0")
    a_node("n1", gpus=8)
    queries()
    few = queries()
    for number in range(2, 8):
        an_engine(f"e{number}")
        a_node(f"n{number}", gpus=8)
    assert queries() == few


def test_no_series_comes_twice_whatever_an_agent_says(api: Api) -> None:
    an_engine("n1")
    node = a_node("n2", gpus=3)
    reading = json.loads(node.status.reading)
    reading["gpus"][2]["index"] = 0
    reading["filesystems"] *= 2
    NodeStatus.objects.filter(node=node).update(reading=json.dumps(reading))
    text = api("vera").get("/metrics").content.decode()
    series = [line.rpartition(" ")[0] for line in text.splitlines() if not line.startswith("#")]
    assert len(series) == len(set(series)) > 50
