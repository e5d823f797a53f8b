"""/api/debug/info and /api/debug/diagnosis."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test import AsyncClient, Client
from pytest_django import Settings

from dpl_site import debug
from dpl_site.processes.findings import Finding
from dpl_site.processes.information import debug_info, shown_settings
from nodes.instances import register
from nodes.leadership import campaign
from tests.datasets.making import a_job, an_engine

Api = Callable[[str], Client]
SECRET = "hunter2hunter2"


@pytest.fixture(autouse=True)
def _nothing_remembered() -> None:
    debug._findings.forget()
    debug._information.forget()


@pytest.mark.django_db(transaction=True)
def test_a_viewer_sees_what_is_wrong(api: Api) -> None:
    answer = api("vera").get("/api/debug/diagnosis").json()
    assert answer["ok"] is False
    subjects = {finding["subject"] for finding in answer["findings"]}
    assert {"controller", "worker", "web", "nodes"} <= subjects
    assert all(
        set(one) == {"severity", "subject", "message", "since", "what_to_do"} for one in answer["findings"]
    )
    severities = [one["severity"] for one in answer["findings"]]
    assert severities == sorted(severities)


@pytest.mark.django_db(transaction=True)
def test_warnings_alone_are_ok(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(debug, "diagnose", lambda **_: [Finding("warning", "a", "b", "c")])
    assert api("vera").get("/api/debug/diagnosis").json()["ok"] is True


@pytest.mark.django_db(transaction=True)
async def test_many_who_ask_cost_one_examination(
    keys: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = {"Authorization": f"Bearer {keys['vera']}"}
    looks: list[dict[str, bool]] = []

    def look(**how: bool) -> list[Finding]:
        looks.append(how)
        return []

    monkeypatch.setattr(debug, "diagnose", look)
    for _ in range(5):
        answer = await AsyncClient().get("/api/debug/diagnosis", headers=shown)
        assert answer.json() == {"ok": True, "findings": []}
    assert looks == [{"is_thorough": False}]


@pytest.mark.django_db
def test_the_information_names_versions_processes_database_and_counts() -> None:
    controller = register(kind="controller")
    campaign(name="controller", instance_id=controller.id)
    an_engine("n1")
    a_job(3)
    found = debug_info()
    assert found["versions"]["dpl"] == "0.1.0"
    (process,) = [one for one in found["processes"] if one["kind"] == "controller"]
    assert (process["leads"], process["pid"]) == (True, controller.pid)
    assert found["database"]["vendor"] == connection.vendor
    assert found["database"]["schema_problem"] == ""
    assert found["database"]["size_bytes"] > 0
    assert (found["counts"]["engines"], found["counts"]["jobs"], found["counts"]["items"]) == (
        1,
        {"queued": 1},
        3,
    )
    assert found["counts"]["nodes"] == {"unknown": 1}
    assert found["disk"]["free_bytes"] > 0
    json.dumps(found)


@pytest.mark.django_db(transaction=True)
def test_the_information_needs_a_key(api: Api) -> None:
    assert api("").get("/api/debug/info").status_code == 401
    assert api("vera").get("/api/debug/info").json()["settings"]["DPL_POLL_INTERVAL_S"] == 2.0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DPL_SOME_TOKEN", SECRET),
        ("DPL_SOME_PASSWORD", SECRET),
        ("DPL_ALERT_URLS", [f"slack://{SECRET}"]),
        ("DPL_HEARTBEAT_URL", f"http://10.0.0.1/{SECRET}"),
        ("DPL_PLACE", f"postgres://dpl:{SECRET}@10.0.0.1/dpl"),
        ("REDIS_URL", f"redis://:{SECRET}@10.0.0.1/0"),
    ],
)
def test_no_secret_is_among_the_settings(settings: Settings, name: str, value: Any) -> None:
    setattr(settings, name, value)
    shown = shown_settings()
    assert shown[name] == "set"
    assert SECRET not in json.dumps(shown)


def test_plain_settings_are_shown_as_they_are(settings: Settings) -> None:
    settings.DPL_CORS_ORIGINS = ["http://a.lan"]
    shown = shown_settings()
    assert shown["DPL_CORS_ORIGINS"] == ["http://a.lan"]
    assert shown["DPL_MAX_UPLOAD_MB"] == 512
    assert "SECRET_KEY" not in shown
    assert str(settings.DATABASES["default"].get("PASSWORD") or "no password") not in json.dumps(shown)
