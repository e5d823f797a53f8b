"""FlowLine's paths over HTTP: who may read, what comes, and that a refresh really asks."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.test import AsyncClient, Client
from pytest_django import DjangoAssertNumQueries, Settings

from dpl_site.lib.clock import utc_now
from inference.flowline.probe import NOT_AGAIN_S, Refresher, refresher
from inference.models import Engine
from nodes.models import Node, NodeStatus
from tests.inference.flowline import page
from tests.machines import Said, Server, serving
from tests.nodes.told import STATUS

Api = Callable[[str], Client]
PATHS = ("/api/slaves", "/api/slaves/10.0.0.5", "/api/health", "/api/system/uptime")


@pytest.fixture(autouse=True)
def _asked_by_nobody() -> None:
    refresher._asked_at.clear()


def a_node(name: str, url: str = "", **status: object) -> Node:
    node = Node.objects.create(name=name, monitor_base_url=url)
    reading = {"reading": json.dumps(STATUS), "sampled_at": utc_now()} if url else {}
    NodeStatus.objects.create(node=node, **(reading | status))
    return node


@pytest.mark.django_db
def test_it_tells_of_every_machine_by_its_address(api: Api) -> None:
    a_node("a", "http://10.0.0.5:8001")
    a_node("b", "http://[fd00::5]:8001")
    a_node("c", "http://10.0.0.9:1")
    a_node("d", "http://10.0.0.9:2")
    a_node("e", "http://box.local:8001")
    Engine.objects.create(node=a_node("f"), base_url="http://10.0.0.6:11434")
    a_node("g")
    found = api("vera").get("/api/slaves").json()
    assert list(found) == ["10.0.0.5", "fd00::5", "10.0.0.9:1", "10.0.0.9:2", "e", "10.0.0.6", "g"]
    for slave in found.values():
        page.read(slave)
    assert [name for name, slave in found.items() if not slave["online"]] == ["10.0.0.6", "g"]
    assert "No agent" in found["g"]["error"]
    assert found["e"]["ip"] == "e"


@pytest.mark.django_db
def test_one_machine_is_found_by_its_key_or_its_name(api: Api) -> None:
    a_node("rack/1 <b>", "http://10.0.0.5:8001")
    a_node("other", "http://[fd00::5]:8001")
    ask = api("vera").get
    assert ask("/api/slaves/10.0.0.5").json()["name"] == "rack/1 <b>"
    assert ask("/api/slaves/rack/1 <b>").json()["ip"] == "10.0.0.5"
    assert ask("/api/slaves/fd00::5").json()["name"] == "other"
    answer = ask("/api/slaves/10.0.0.77")
    assert (answer.status_code, answer.json()) == (404, {"error": "Slave not found"})


@pytest.mark.django_db
def test_a_silent_or_forgotten_machine_is_offline_with_the_reason(api: Api) -> None:
    a_node("silent", "http://10.0.0.5:8001", agent_error="nothing listens at 10.0.0.5:8001")
    a_node("old", "http://10.0.0.6:8001", sampled_at=utc_now() - timedelta(minutes=10))
    a_node("new", "http://10.0.0.7:8001", reading="", sampled_at=None)
    found = api("vera").get("/api/slaves").json()
    assert found["10.0.0.5"]["error"] == "nothing listens at 10.0.0.5:8001"
    assert "controller" in found["10.0.0.6"]["error"]
    assert "not been asked" in found["10.0.0.7"]["error"]
    health = api("vera").get("/api/health").json()
    assert (health["status"], health["slaves_total"], health["slaves_online"]) == ("ok", 3, 0)
    assert page.number(health["timestamp"])


@pytest.mark.django_db
def test_the_machines_uptime_is_whole_numbers(api: Api) -> None:
    found = api("vera").get("/api/system/uptime").json()
    assert list(found) == ["days", "hours", "minutes", "seconds"]
    assert all(page.whole(value) and value >= 0 for value in found.values())


@pytest.mark.django_db
def test_the_whole_fleet_costs_two_queries(
    api: Api, django_assert_num_queries: DjangoAssertNumQueries, settings: Settings
) -> None:
    settings.DPL_PUBLIC_FLOWLINE = True
    for number in range(5):
        a_node(f"n{number}", f"http://10.0.0.{number}:8001")
    client = api("")
    with django_assert_num_queries(2):
        client.get("/api/slaves")


@pytest.mark.django_db
def test_anybody_may_read_where_the_setting_says_so_and_change_nothing(api: Api, settings: Settings) -> None:
    a_node("a", "http://10.0.0.5:8001")
    assert [api("").get(path).status_code for path in PATHS] == [401] * 4
    settings.DPL_PUBLIC_FLOWLINE = True
    assert [api("").get(path).status_code for path in PATHS] == [200] * 4
    assert [api("").post(path).status_code for path in PATHS] == [405] * 4
    refreshes = ("/api/refresh", "/api/slaves/10.0.0.5/refresh")
    assert [api("").post(path).status_code for path in refreshes] == [401] * 2


@pytest.mark.django_db
def test_a_listed_page_of_elsewhere_may_read(api: Api, settings: Settings) -> None:
    settings.CORS_ALLOWED_ORIGINS = ["http://monitor.lan:8000"]
    settings.DPL_PUBLIC_FLOWLINE = True

    def allowed(origin: str) -> str | None:
        return (
            api("").get("/api/slaves", headers={"Origin": origin}).headers.get("access-control-allow-origin")
        )

    assert allowed("http://monitor.lan:8000") == "http://monitor.lan:8000"
    assert allowed("http://elsewhere.lan") is None


def shown(keys: dict[str, str]) -> dict[str, str]:
    return {"Authorization": f"Bearer {keys['vera']}"}


async def press(keys: dict[str, str], path: str) -> Any:
    """The page's refresh button."""
    return await AsyncClient().post(path, headers=shown(keys))


@pytest.fixture
def agent() -> Iterator[Server]:
    with serving(lambda asked: Said(STATUS)) as running:
        yield running


@pytest.mark.django_db(transaction=True)
async def test_a_refresh_asks_the_machine_and_shows_what_it_says(keys: dict[str, str], agent: Server) -> None:
    node = await Node.objects.acreate(name="a", monitor_base_url=agent.url)
    key = agent.url.removeprefix("http://").partition(":")[0]
    answer = await press(keys, f"/api/slaves/{key}/refresh")
    assert (answer.status_code, answer.json()) == (200, {"success": True})
    assert agent.paths() == ["/status"]
    assert (await NodeStatus.objects.aget(node=node)).sampled_at is not None
    found = await AsyncClient().get("/api/slaves", headers=shown(keys))
    assert found.json()[key]["data"]["system"]["hostname"] == "box"
    assert (await press(keys, "/api/slaves/nobody/refresh")).status_code == 404


@pytest.mark.django_db(transaction=True)
async def test_a_machine_is_asked_once_however_often_the_button_is_pressed(
    keys: dict[str, str], agent: Server
) -> None:
    await Node.objects.acreate(name="a", monitor_base_url=agent.url)
    for _ in range(5):
        assert (await press(keys, "/api/refresh")).json() == {"success": True}
    assert agent.paths() == ["/status"]


@pytest.mark.django_db(transaction=True)
async def test_it_is_asked_again_when_its_reading_is_old(agent: Server) -> None:
    node = await Node.objects.acreate(name="a", monitor_base_url=agent.url)
    now = [0.0]
    refreshing = Refresher(lambda: now[0])
    assert [await refreshing.refresh([node.id]) for _ in range(2)] == [1, 0]
    now[0] += NOT_AGAIN_S
    assert await refreshing.refresh() == 1


@pytest.mark.django_db(transaction=True)
async def test_a_machine_that_does_not_answer_keeps_nobody_waiting(
    keys: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inference.flowline.probe.WITHIN_S", 0.05)
    with serving(lambda asked: Said(STATUS, after_s=30)) as hanging:
        await Node.objects.acreate(name="a", monitor_base_url=hanging.url)
        assert (await press(keys, "/api/refresh")).json() == {"success": True}
