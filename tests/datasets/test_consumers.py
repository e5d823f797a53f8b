"""Watching a job over its socket: who may, what comes, and that many watchers cost one reading."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from channels.routing import URLRouter
from channels.testing import WebsocketCommunicator
from django.test import Client

from accounts.models import User
from accounts.services import key_create
from datasets import live, services
from datasets.consumers import websocket_urlpatterns
from datasets.models import Job
from dpl_site.lib.db import call
from nodes import news
from tests.datasets.making import a_job

pytestmark = pytest.mark.django_db(transaction=True)

UNKNOWN = "0193aaaa-0000-7000-8000-000000000000"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test waits longer than it must."""
    monkeypatch.setattr(live, "PERIOD_S", 0.05)
    monkeypatch.setattr(live, "COST_FACTOR", 0)


def socket(job_id: str, headers: dict[str, str]) -> WebsocketCommunicator:
    raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    return WebsocketCommunicator(URLRouter(websocket_urlpatterns), f"/ws/jobs/{job_id}/", headers=raw)


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


@asynccontextmanager
async def watching(job_id: str, headers: dict[str, str]) -> AsyncIterator[WebsocketCommunicator]:
    connection = socket(job_id, headers)
    accepted, _ = await connection.connect()
    assert accepted
    try:
        yield connection
    finally:
        await connection.disconnect()


async def message(connection: WebsocketCommunicator) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(await connection.receive_from(timeout=10))
    return found


async def closed_with(job_id: str, headers: dict[str, str]) -> int:
    """The code that a socket is closed with."""
    async with watching(job_id, headers) as connection:
        answer = await connection.receive_output(timeout=10)
    assert answer["type"] == "websocket.close"
    return int(answer["code"])


async def test_it_sends_the_detailed_status_at_once_and_whenever_it_changes(keys: dict[str, str]) -> None:
    job = await call(a_job, 5)
    async with watching(job.id, bearer(keys["otto"])) as connection:
        first = await message(connection)
        await call(services.job_stop, job_id=job.id)
        then = await message(connection)

    assert (first["type"], first["job_id"], first["status"], first["pending"]) == ("job", job.id, "queued", 5)
    assert (then["type"], then["status"]) == ("job", "stopped")


async def test_it_sends_nothing_while_nothing_changes(keys: dict[str, str]) -> None:
    job = await call(a_job, 5)
    async with watching(job.id, bearer(keys["otto"])) as connection:
        await message(connection)
        await call(news.publish, topic=news.JOB, object_id=job.id)

        assert await connection.receive_nothing(timeout=0.4)


async def test_it_reads_once_for_all_who_watch(keys: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    job = await call(a_job, 5)
    read = live.read_status
    readings: list[str] = []

    def counted(job_id: str) -> bytes | None:
        readings.append(job_id)
        return read(job_id)

    monkeypatch.setattr(live, "read_status", counted)
    sockets = [socket(job.id, bearer(keys[name])) for name in ("otto", "ada", "otto", "ada")]
    for connection in sockets:
        await connection.connect()
    texts = {await connection.receive_from(timeout=10) for connection in sockets}
    for connection in sockets:
        await connection.disconnect()

    assert len(texts) == 1
    assert readings == [job.id]
    assert live._feeds == {}


async def test_it_renews_no_faster_than_its_period(
    keys: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "PERIOD_S", 0.5)
    job = await call(a_job, 5)
    async with watching(job.id, bearer(keys["otto"])) as connection:
        await message(connection)
        began = asyncio.get_running_loop().time()
        for number in range(10):
            await call(Job.objects.filter(id=job.id).update, late_results_refused=number)
            await call(news.publish, topic=news.JOB, object_id=job.id)
            await asyncio.sleep(0.02)
        messages = 1
        while (await message(connection))["late_results_refused"] != 9:
            messages += 1
        took_s = asyncio.get_running_loop().time() - began

    assert messages <= 1 + took_s / live.PERIOD_S


async def test_it_closes_when_the_job_is_gone(keys: dict[str, str]) -> None:
    job = await call(a_job, 1)
    async with watching(job.id, bearer(keys["otto"])) as connection:
        await message(connection)
        await call(Job.objects.filter(id=job.id).delete)
        await call(news.publish, topic=news.JOB, object_id=job.id)

        assert (await connection.receive_output(timeout=10))["code"] == 4404


async def test_it_closes_when_reading_breaks_and_says_so_in_the_log(
    keys: dict[str, str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    job = await call(a_job, 1)
    monkeypatch.setattr(live, "read_status", lambda job_id: 1 / 0)

    assert await closed_with(job.id, bearer(keys["otto"])) == 1011
    assert "broke" in caplog.text


async def test_it_shows_a_viewer_his_own_job_only(keys: dict[str, str], people: dict[str, User]) -> None:
    job = await call(a_job, 1)
    await call(Job.objects.filter(id=job.id).update, owner=people["vera"])
    async with watching(job.id, bearer(keys["vera"])) as connection:
        assert (await message(connection))["owner"] == "vera"

    assert await closed_with(job.id, bearer(keys["otto"])) == 4404


@pytest.mark.parametrize(("who", "code"), [("stan", 4404), ("nobody", 4401), ("wrong", 4401), ("chat", 4403)])
async def test_it_lets_nobody_else_in(
    keys: dict[str, str], people: dict[str, User], who: str, code: int
) -> None:
    job = await call(a_job, 1)
    shown = {
        "stan": bearer(keys["stan"]),
        "nobody": {},
        "wrong": bearer("dpl_wrong"),
        "chat": bearer((await call(key_create, user=people["otto"], name="x", scopes=["chat"]))[1]),
    }

    assert await closed_with(job.id, shown[who]) == code


@pytest.mark.parametrize("job_id", [UNKNOWN, "nope"])
async def test_it_closes_for_a_job_that_there_is_not(keys: dict[str, str], job_id: str) -> None:
    assert await closed_with(job_id, bearer(keys["ada"])) == 4404


async def test_it_knows_a_person_by_his_session(people: dict[str, User]) -> None:
    job = await call(a_job, 1)
    client = Client()
    await call(client.force_login, people["otto"])
    cookie = {"Cookie": f"sessionid={client.cookies['sessionid'].value}"}
    async with watching(job.id, cookie) as connection:
        assert (await message(connection))["job_id"] == job.id
