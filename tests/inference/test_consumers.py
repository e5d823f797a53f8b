"""Watching the fleet over its sockets: a snapshot, then what changes, read and serialised once for all."""

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
from pytest_django import Settings

from accounts import consumers
from accounts.models import User
from accounts.services import key_create
from dpl_site.lib.db import call
from inference import live
from inference.consumers import websocket_urlpatterns
from inference.live import Fleet
from inference.registration import node_add, node_remove
from nodes import locks, news
from nodes.models import NodeStatus, Watch
from nodes.watching import watch_note

SECRET_MARK = "never shown"


class TestFleet:
    """What a watcher is told, given what was read."""

    @staticmethod
    def told(message: bytes | None) -> Any:
        assert message is not None
        found = json.loads(message)
        found.pop("generated_at")
        return found

    def test_everything_at_first_then_what_changed(self) -> None:
        fleet = Fleet()
        assert fleet.take({1: b'{"id":1}', 2: b'{"id":2}'})
        assert self.told(fleet.message(0)) == {"type": "snapshot", "nodes": [{"id": 1}, {"id": 2}]}
        assert fleet.take({1: b'{"id":1}', 2: b'{"id":2,"a":1}', 3: b'{"id":3}'})
        update = {"type": "update", "removed": [], "nodes": [{"id": 2, "a": 1}, {"id": 3}]}
        assert self.told(fleet.message(1)) == update

    def test_nothing_changed_is_no_news(self) -> None:
        fleet = Fleet()
        assert fleet.take({}), "an empty fleet is a snapshot too"
        assert not fleet.take({})
        assert fleet.message(fleet.version) is None

    def test_one_that_is_slow_gets_several_changes_in_one(self) -> None:
        fleet = Fleet()
        fleet.take({1: b'{"id":1}', 2: b'{"id":2}'})
        fleet.take({1: b'{"id":1,"a":1}', 2: b'{"id":2}'})
        fleet.take({1: b'{"id":1,"a":2}', 2: b'{"id":2}', 3: b'{"id":3}'})
        fleet.take({1: b'{"id":1,"a":2}', 3: b'{"id":3}'})
        update = {"type": "update", "removed": [2], "nodes": [{"id": 1, "a": 2}, {"id": 3}]}
        assert self.told(fleet.message(1)) == update

    def test_a_watcher_of_one_node_hears_of_that_one(self) -> None:
        fleet = Fleet()
        fleet.take({1: b'{"id":1}', 2: b'{"id":2}'})
        assert self.told(fleet.message(0, 2))["nodes"] == [{"id": 2}]
        fleet.take({1: b'{"id":1,"a":1}', 2: b'{"id":2}'})
        assert fleet.message(1, 2) is None
        fleet.take({1: b'{"id":1,"a":1}'})
        assert self.told(fleet.message(1, 2)) == {"type": "update", "removed": [2], "nodes": []}
        assert not fleet.has(2)

    def test_it_is_serialised_once_for_all_who_are_in_step(self) -> None:
        fleet = Fleet()
        fleet.take({1: b'{"id":1}'})
        assert fleet.message(0) is fleet.message(0)


def socket(path: str, headers: dict[str, str]) -> WebsocketCommunicator:
    raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    return WebsocketCommunicator(URLRouter(websocket_urlpatterns), path, headers=raw)


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


@asynccontextmanager
async def watching(path: str, headers: dict[str, str]) -> AsyncIterator[WebsocketCommunicator]:
    connection = socket(path, headers)
    accepted, _ = await connection.connect()
    assert accepted
    try:
        yield connection
    finally:
        await connection.disconnect()


async def message(connection: WebsocketCommunicator) -> Any:
    return json.loads(await connection.receive_from(timeout=10))


async def closed_with(path: str, headers: dict[str, str]) -> int:
    async with watching(path, headers) as connection:
        answer = await connection.receive_output(timeout=10)
    assert answer["type"] == "websocket.close"
    return int(answer["code"])


@pytest.mark.django_db(transaction=True)
class TestSockets:
    """/ws/cluster/ and /ws/nodes/{id}/."""

    @pytest.fixture(autouse=True)
    def quick(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(live, "PERIOD_S", 0.02)
        monkeypatch.setattr(live, "COST_FACTOR", 0)

    async def test_a_snapshot_then_what_changes(self, keys: dict[str, str]) -> None:
        fast = await call(node_add, name="fast", agent_token=SECRET_MARK.replace(" ", ""))
        await call(node_add, name="slow")
        async with watching("/ws/cluster/", bearer(keys["vera"])) as connection:
            first = await message(connection)
            await call(
                locks.lock_node,
                node_id=fast.id,
                by=locks.PERSON,
                owner="otto",
                reason="",
                ttl_s=60,
                actor="otto",
            )
            then = await message(connection)
            await call(node_remove, node_id=fast.id, actor="ada")
            last = await message(connection)

        assert first["type"] == "snapshot"
        assert [node["name"] for node in first["nodes"]] == ["fast", "slow"]
        assert SECRET_MARK.replace(" ", "") not in json.dumps(first)
        assert then["type"] == "update"
        assert [(node["name"], node["locked"]) for node in then["nodes"]] == [("fast", True)]
        assert (last["removed"], last["nodes"]) == ([fast.id], [])

    async def test_one_node_until_it_is_gone(self, keys: dict[str, str]) -> None:
        fast = await call(node_add, name="fast")
        slow = await call(node_add, name="slow")
        async with watching(f"/ws/nodes/{fast.id}/", bearer(keys["vera"])) as connection:
            first = await message(connection)
            await self.change(slow.id)
            assert await connection.receive_nothing(timeout=0.3)
            await self.change(fast.id)
            then = await message(connection)
            await call(node_remove, node_id=fast.id, actor="ada")
            last = await message(connection)
            closed = await connection.receive_output(timeout=10)
        assert [node["name"] for node in first["nodes"]] == ["fast"]
        assert [node["reason"] for node in then["nodes"]] == ["changed"]
        assert last["removed"] == [fast.id]
        assert closed["code"] == 4404

    @staticmethod
    async def change(node_id: int) -> None:
        await call(NodeStatus.objects.filter(node_id=node_id).update, reason="changed")
        await call(news.publish, topic=news.CLUSTER, object_id=node_id)

    async def test_it_reads_once_for_all_who_watch(
        self, keys: dict[str, str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await call(node_add, name="fast")
        real, readings = live.read_nodes, []

        def counted() -> dict[int, bytes]:
            readings.append(1)
            return real()

        monkeypatch.setattr(live, "read_nodes", counted)
        sockets = [socket("/ws/cluster/", bearer(keys["vera"])) for _ in range(5)]
        for connection in sockets:
            await connection.connect()
        texts = {await connection.receive_from(timeout=10) for connection in sockets}
        for connection in sockets:
            await connection.disconnect()
        assert len(texts) == 1
        assert len(readings) == 1
        assert live._feeds == {}

    async def test_the_controller_learns_what_is_watched(
        self, keys: dict[str, str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        loop, noted = asyncio.get_running_loop(), asyncio.Event()

        def note(*, subjects: set[int]) -> None:
            watch_note(subjects=subjects)
            loop.call_soon_threadsafe(noted.set)

        monkeypatch.setattr(live, "watch_note", note)
        fast = await call(node_add, name="fast")
        async with watching(f"/ws/nodes/{fast.id}/", bearer(keys["vera"])) as connection:
            await message(connection)
            async with asyncio.timeout(10):
                await noted.wait()
        assert [one.subject for one in await call(list, Watch.objects.all())] == [fast.id]

    async def test_it_tells_nobody_when_the_settings_have_that_off(
        self, keys: dict[str, str], settings: Settings
    ) -> None:
        settings.DPL_WATCHED_INTERVAL_S = 0
        async with watching("/ws/cluster/", bearer(keys["vera"])) as connection:
            await message(connection)
            (feed,) = live._feeds.values()
            assert len(feed._tasks) == 1
        assert not await call(Watch.objects.exists)

    async def test_one_who_takes_nothing_is_dropped(
        self, keys: dict[str, str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(consumers, "SEND_S", 0.1)
        sent: list[dict[str, Any]] = []
        closed = asyncio.Event()

        async def send(event: dict[str, Any]) -> None:
            if event["type"] == "websocket.send":
                await asyncio.sleep(30)
            sent.append(event)
            if event["type"] == "websocket.close":
                closed.set()

        async def receive() -> dict[str, Any]:
            return await incoming.get()

        incoming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        incoming.put_nowait({"type": "websocket.connect"})
        headers = [(b"authorization", f"Bearer {keys['vera']}".encode())]
        scope = {"type": "websocket", "path": "/ws/cluster/", "headers": headers, "subprotocols": []}
        task = asyncio.create_task(URLRouter(websocket_urlpatterns)(scope, receive, send))
        async with asyncio.timeout(10):
            await closed.wait()
        incoming.put_nowait({"type": "websocket.disconnect", "code": 1013})
        await asyncio.gather(task, return_exceptions=True)
        assert sent[-1]["code"] == 1013
        assert live._feeds == {}

    async def test_it_says_in_the_log_when_reading_breaks(
        self, keys: dict[str, str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(live, "read_nodes", lambda: 1 / 0)
        assert await closed_with("/ws/cluster/", bearer(keys["vera"])) == 1011
        assert "broke" in caplog.text

    @pytest.mark.parametrize(("who", "code"), [("nobody", 4401), ("wrong", 4401), ("chat", 4403)])
    async def test_it_lets_nobody_else_in(
        self, keys: dict[str, str], people: dict[str, User], who: str, code: int
    ) -> None:
        shown = {
            "nobody": {},
            "wrong": bearer("dpl_wrong"),
            "chat": bearer((await call(key_create, user=people["otto"], name="x", scopes=["chat"]))[1]),
        }
        assert await closed_with("/ws/cluster/", shown[who]) == code

    async def test_a_node_that_there_is_not_is_4404(self, keys: dict[str, str]) -> None:
        assert await closed_with("/ws/nodes/999/", bearer(keys["vera"])) == 4404

    async def test_it_knows_a_person_by_his_session(self, people: dict[str, User]) -> None:
        client = Client()
        await call(client.force_login, people["vera"])
        cookie = {"Cookie": f"sessionid={client.cookies['sessionid'].value}"}
        async with watching("/ws/cluster/", cookie) as connection:
            assert (await message(connection))["nodes"] == []
