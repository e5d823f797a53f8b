"""/health and /ready: open, quick, and honest."""

from __future__ import annotations

import pytest
from django.db import OperationalError
from django.test import AsyncClient, Client

from dpl_site import health
from dpl_site.processes import serving
from nodes.instances import register
from nodes.leadership import campaign

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _nothing_remembered() -> None:
    health._latest.forget()


def test_health_needs_no_key_and_no_database(django_assert_num_queries: object) -> None:
    with django_assert_num_queries(0):  # type: ignore[operator]  # a fixture that is a context
        answer = Client().get("/health")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


def test_an_installation_without_controller_and_worker_is_not_ready(caplog: pytest.LogCaptureFixture) -> None:
    answer = Client().get("/ready")
    said = answer.json()
    assert answer.status_code == 503
    assert said["ready"] is False
    assert said["database"] == said["schema"] == {"ok": True, "message": ""}
    assert "manage.py controller" in said["controller"]["message"]
    assert "manage.py worker" in said["worker"]["message"]
    assert not caplog.records, "a poller's answer is no error of ours"


def test_a_controller_that_does_not_lead_is_not_enough() -> None:
    register(kind="controller")
    assert "leads" in Client().get("/ready").json()["controller"]["message"]


def test_a_whole_installation_is_ready() -> None:
    controller = register(kind="controller")
    campaign(name="controller", instance_id=controller.id)
    register(kind="worker")
    answer = Client().get("/ready")
    assert answer.status_code == 200
    assert answer.json()["ready"] is True


def test_a_database_that_is_away_is_said_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone() -> None:
        raise OperationalError("the server is gone")

    monkeypatch.setattr(serving, "read_schema", gone)
    answer = Client().get("/ready")
    said = answer.json()
    assert answer.status_code == 503
    assert "the server is gone" in said["database"]["message"]
    assert not any(said[name]["ok"] for name in ("database", "schema", "controller", "worker"))


async def test_many_who_ask_at_once_cost_one_look(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = []

    def look() -> serving.Readiness:
        looks.append(1)
        return serving.database_away("for the test")

    monkeypatch.setattr(health, "read_readiness", look)
    client = AsyncClient()
    for _ in range(5):
        assert (await client.get("/ready")).status_code == 503
    assert len(looks) == 1
