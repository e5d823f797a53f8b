"""Watching alerts over their socket: who may, what comes, and that many watchers cost one reading."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from channels.routing import URLRouter
from channels.testing import WebsocketCommunicator

from accounts.models import User
from accounts.services import key_create
from alerts import live, services
from alerts.consumers import websocket_urlpatterns
from alerts.models import Alert, AlertEvent
from dpl_site.lib.db import call

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test waits longer than it must."""
    monkeypatch.setattr(live, "PERIOD_S", 0.05)


@pytest.fixture
def key(people: dict[str, User]) -> str:
    """A viewer's."""
    return key_create(user=people["vera"], name="watch")[1]


@asynccontextmanager
async def watching(key: str) -> AsyncIterator[WebsocketCommunicator]:
    headers = [(b"authorization", f"Bearer {key}".encode())]
    connection = WebsocketCommunicator(URLRouter(websocket_urlpatterns), "/ws/alerts/", headers=headers)
    accepted, _ = await connection.connect()
    assert accepted
    try:
        yield connection
    finally:
        await connection.disconnect()


async def message(connection: WebsocketCommunicator) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(await connection.receive_from(timeout=10))
    return found


def an_alert(name: str = "Hot", **columns: Any) -> Alert:
    values = {"severity": "warning", "state": "firing", "state_ms": 1, "began_ms": 1, "threshold": 90}
    alert = Alert.objects.create(
        rule_name=name, fingerprint=name, metric="gpu_temperature_c", **(values | columns)
    )
    AlertEvent.objects.create(alert=alert, at_ms=1, action="transition", new=alert.state)
    return alert


async def test_it_sends_what_stands_at_once_and_whenever_something_happens(key: str) -> None:
    alert = await call(an_alert)
    await call(an_alert, "Later", state="pending", severity="critical")
    async with watching(key) as connection:
        first = await message(connection)
        await call(services.alert_acknowledge, alert_id=alert.pk, actor="ada")
        then = await message(connection)
    assert first | {"version": 0} == {
        "type": "alerts",
        "firing": 1,
        "pending": 1,
        "worst": "warning",
        "raised": [alert.pk],
        "version": 0,
    }
    assert then["version"] > first["version"]


async def test_it_says_that_nothing_fires(key: str) -> None:
    async with watching(key) as connection:
        first = await message(connection)
    assert (first["firing"], first["worst"], first["raised"]) == (0, None, [])


async def test_it_reads_once_for_all_who_watch(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    readings = []

    def counted() -> bytes:
        readings.append(1)
        return b'{"type":"alerts"}'

    monkeypatch.setattr(live, "read_summary", counted)
    async with watching(key) as one, watching(key) as other:
        await message(one)
        await message(other)
        assert await one.receive_nothing(timeout=0.3)
    assert len(readings) == 1


async def test_a_stranger_is_told_to_log_in() -> None:
    async with watching("dpl_nonsense") as connection:
        answer = await connection.receive_output(timeout=10)
    assert (answer["type"], answer["code"]) == ("websocket.close", 4401)
