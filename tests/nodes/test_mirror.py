"""The lock on an agent follows ours, tick by tick, and another's is honoured."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest

from agent.application import Request
from dpl_site.lib import http
from nodes.mirror import AgentSeen, AgentTarget, OurLock, mirror_ttl_s, see_agent
from nodes.states import LockMirror
from tests.machines import RunningAgent, Said, agent, dead_url, serving
from tests.nodes.told import STATUS, lock_told

OURS = OurLock(id="l1", owner="otto", reason="training", left_s=600.0)


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with http.session() as client:
        yield client


async def tick(
    session: aiohttp.ClientSession,
    url: str,
    lock: OurLock | None,
    *,
    installation: str = "i1",
    token: str = "",
) -> AgentSeen:
    target = AgentTarget(node_id=1, base_url=url, token=token, lock=lock)
    return await see_agent(session, target, installation=installation, interval_s=2.0, timeout_s=30)


def put_by_hand(running: RunningAgent, body: bytes = b'{"id": "x", "owner": "backup"}') -> None:
    assert running.application.answer(Request("POST", "/lock", "127.0.0.1", "", body)).status == 200


async def test_a_lock_of_ours_is_taken_renewed_and_freed(session: aiohttp.ClientSession) -> None:
    with agent() as running:
        assert (await tick(session, running.url, OURS)).mirror is LockMirror.HELD
        assert (await tick(session, running.url, OURS)).mirror is LockMirror.HELD
        told = running.lock()
        assert told
        assert (told["id"], told["installation"]) == ("l1", "i1")
        seen = await tick(session, running.url, None)
        assert running.lock() is None
        assert seen.foreign is None


async def test_a_new_lock_of_ours_replaces_our_old_one(session: aiohttp.ClientSession) -> None:
    with agent() as running:
        await tick(session, running.url, OURS)
        second = OurLock(id="l2", owner="stan", reason="", left_s=60)
        assert (await tick(session, running.url, second)).mirror is LockMirror.HELD
        told = running.lock()
        assert told
        assert told["owner"] == "stan"


async def test_a_lock_that_somebody_else_put_there_is_honoured(session: aiohttp.ClientSession) -> None:
    with agent() as running:
        put_by_hand(running)
        seen = await tick(session, running.url, OURS)
        assert seen.mirror is LockMirror.UNMIRRORED
        assert seen.foreign
        assert seen.foreign["owner"] == "backup"
        seen = await tick(session, running.url, None)
        assert seen.foreign
        told = running.lock()
        assert told
        assert told["owner"] == "backup"


async def test_two_installations_never_take_each_others_lock(session: aiohttp.ClientSession) -> None:
    with agent() as running:
        assert (await tick(session, running.url, OURS, installation="i1")).mirror is LockMirror.HELD
        theirs = await tick(session, running.url, OURS, installation="i2")
        assert theirs.mirror is LockMirror.UNMIRRORED
        assert theirs.foreign
        await tick(session, running.url, None, installation="i2")
        told = running.lock()
        assert told
        assert told["installation"] == "i1"


async def test_one_who_is_quicker_between_question_and_lock_is_honoured(
    session: aiohttp.ClientSession,
) -> None:
    refusal = {"error": {"message": "", "code": "locked"}, "locked": True, "lock": lock_told()}
    with serving(lambda asked: Said(STATUS) if asked.method == "GET" else Said(refusal, 409)) as server:
        seen = await tick(session, server.url, OURS)
    assert seen.mirror is LockMirror.UNMIRRORED
    assert seen.foreign
    assert seen.foreign["owner"] == "backup"


async def test_another_who_took_the_place_of_our_old_lock_is_honoured(session: aiohttp.ClientSession) -> None:
    ours = STATUS | {"lock": lock_told(id="l0", installation="i1")}
    with serving(
        lambda asked: Said(ours) if asked.method == "GET" else Said({"lock": lock_told()}, 409)
    ) as server:
        seen = await tick(session, server.url, OURS)
        assert server.paths() == ["/status", "/unlock"]
    assert seen.mirror is LockMirror.UNMIRRORED
    assert seen.foreign


async def test_a_silent_agent_leaves_the_lock_pending(session: aiohttp.ClientSession) -> None:
    seen = await tick(session, dead_url(), OURS)
    assert seen.reading is None
    assert "nothing listens" in seen.error
    assert (seen.lock_id, seen.mirror) == ("l1", LockMirror.PENDING)


async def test_an_agent_that_refuses_us_leaves_the_lock_unmirrored(session: aiohttp.ClientSession) -> None:
    with agent(token="right") as running:
        seen = await tick(session, running.url, OURS, token="wrong")
    assert seen.mirror is LockMirror.UNMIRRORED
    with serving(lambda asked: Said(STATUS) if asked.method == "GET" else Said("", 403)) as server:
        seen = await tick(session, server.url, OURS)
    assert seen.reading is not None
    assert seen.mirror is LockMirror.UNMIRRORED


async def test_a_dead_gateways_lock_ends_by_itself(session: aiohttp.ClientSession) -> None:
    with agent() as running:
        await tick(session, running.url, OurLock("l1", "otto", "", left_s=1.0))
        assert running.lock()
        await asyncio.sleep(1.1)
        assert running.lock() is None


def test_the_agent_holds_a_lock_for_a_few_ticks_and_never_longer_than_it_lasts() -> None:
    assert mirror_ttl_s(600, 2.0) == 30
    assert mirror_ttl_s(600, 60.0) == 300
    assert mirror_ttl_s(10, 2.0) == 10
    assert mirror_ttl_s(0.2, 2.0) == 1
    assert mirror_ttl_s(1e9, 1e9) == 86_400
