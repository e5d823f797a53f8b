"""`GET /metrics`: the numbers of all processes together, in Prometheus's words."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from prometheus_client.parser import text_string_to_metric_families
from pytest_django import Settings

from inference.accounting import write_batch
from inference.models import EngineStatus
from inference.recorder import Batch, Load
from inference.records import RequestRecord
from nodes.instances import expire
from tests.datasets.making import an_engine, an_instance
from tests.inference.serving import a_record, attempt

pytestmark = pytest.mark.django_db
Api = Callable[[str], Client]


def write(*records: RequestRecord, **more: Any) -> None:
    """One process writes its first batch."""
    known: dict[str, Any] = {"instance_id": None, "load": Load()}
    write_batch(batch=Batch(recorder_id=uuid.uuid4(), number=1, records=records, **known | more))


def scraped(client: Client) -> dict[tuple[str, ...], float]:
    """Every sample by its name and the values of its labels."""
    response = client.get("/metrics")
    assert response.status_code == 200, response.content
    assert response["Content-Type"].startswith("text/plain")
    families = text_string_to_metric_families(response.content.decode())
    order = ("model", "node", "outcome", "kind", "le")
    return {
        (one.name, *(one.labels[label] for label in order if label in one.labels)): one.value
        for family in families
        for one in family.samples
    }


def test_counters_are_the_sums_of_all_processes(api: Api) -> None:
    for _ in range(2):
        write(
            a_record(),
            a_record(outcome="cancelled", attempts=(attempt("dead", error="unreachable"), attempt())),
        )
    found = scraped(api("vera"))
    assert found["dpl_gateway_requests_total", "m", "fast", "ok"] == 2
    assert found["dpl_gateway_requests_total", "m", "fast", "cancelled"] == 2
    assert found["dpl_gateway_tokens_total", "m", "fast", "completion"] == 28
    assert found["dpl_gateway_failovers_total", "m", "dead"] == 2
    assert found["dpl_gateway_cancels_total", "m", "fast"] == 2


def test_histograms_add_up_to_their_count(api: Api) -> None:
    write(a_record(ttft_ms=40), a_record(ttft_ms=400), a_record(ttft_ms=400_000))
    found = scraped(api("vera"))
    name, place = "dpl_gateway_ttft_seconds", ("m", "fast")
    assert found[f"{name}_bucket", *place, "0.05"] == 1
    assert found[f"{name}_bucket", *place, "0.5"] == 2
    assert found[f"{name}_bucket", *place, "300.0"] == 2
    assert found[f"{name}_bucket", *place, "+Inf"] == found[f"{name}_count", *place] == 3
    assert found[f"{name}_sum", *place] == pytest.approx(400.44)
    assert found["dpl_gateway_duration_seconds_count", *place] == 3


def test_what_is_in_hand_is_that_of_living_processes(api: Api) -> None:
    engine, other = an_engine("fast"), an_engine("slow")
    here, there, dead = an_instance("web"), an_instance("web"), an_instance("web")
    write(instance_id=here.id, load=Load(2, {engine.id: 1}))
    write(instance_id=there.id, load=Load(1, {engine.id: 2, 999_999: 5}))
    write(instance_id=dead.id, load=Load(7, {other.id: 7}))
    expire(instance_id=dead.id)
    found = scraped(api("vera"))
    assert found[("dpl_gateway_waiting",)] == 3
    assert (found["dpl_gateway_in_flight", "fast"], found["dpl_gateway_in_flight", "slow"]) == (3, 0)


def test_an_open_breaker_shows_at_its_node(api: Api) -> None:
    an_engine("fast")
    EngineStatus.objects.filter(engine=an_engine("slow")).update(breaker_open_ms=1)
    found = scraped(api("vera"))
    assert (found["dpl_gateway_breaker_open", "fast"], found["dpl_gateway_breaker_open", "slow"]) == (0, 1)


def test_it_needs_a_key_unless_it_is_made_public(api: Api, settings: Settings) -> None:
    assert api("").get("/metrics").status_code == 401
    assert api("stan").post("/metrics").status_code == 405
    settings.DPL_PUBLIC_METRICS = True
    found = scraped(api(""))
    assert {name: value for (name, *_), value in found.items() if "gateway" in name} == {
        "dpl_gateway_waiting": 0
    }
    assert api("").post("/metrics").status_code == 405


def test_openmetrics_is_told_to_those_who_ask_for_it(api: Api) -> None:
    write(a_record())
    response = api("vera").get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert response["Content-Type"].startswith("application/openmetrics-text")
    assert response.content.endswith(b"# EOF\n")
