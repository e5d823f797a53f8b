"""Asking one agent: a reading, or an error that a person understands, within its time."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest

from dpl_site.lib import http
from nodes.probe import AgentError, AgentReading, ask_agent, mirror_lock, mirror_unlock
from tests.machines import Asked, Said, agent, dead_url, serving
from tests.nodes.told import STATUS, lock_told

LOCK: Any = {"id": "l1", "owner": "otto", "installation": "i1", "reason": "training", "ttl_s": 30.0}


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with http.session() as client:
        yield client


async def ask(session: aiohttp.ClientSession, url: str, **changes: Any) -> AgentReading:
    return await ask_agent(session, **({"base_url": url, "token": ""} | changes))


async def complaint(session: aiohttp.ClientSession, url: str, **changes: Any) -> AgentError:
    with pytest.raises(AgentError) as raised:
        await ask(session, url, **changes)
    return raised.value


def saying(said: Said) -> Callable[[Asked], Said]:
    return lambda asked: said


async def test_it_reads_a_real_agent(session: aiohttp.ClientSession) -> None:
    with agent(token="s3cret") as running:
        reading = await ask(session, running.url, token="s3cret")
    assert reading.status["hostname"] == "box"
    assert reading.lock is None
    assert reading.clock_skew_s == pytest.approx(0, abs=1.5)


async def test_it_says_when_the_token_is_refused(session: aiohttp.ClientSession) -> None:
    with agent(token="s3cret") as running:
        error = await complaint(session, running.url, token="guess")
    assert "refuses DPL's token" in error.message
    assert error.is_refusal


async def test_it_says_when_nothing_listens(session: aiohttp.ClientSession) -> None:
    error = await complaint(session, dead_url())
    assert "nothing listens" in error.message
    assert "agent" in error.message
    assert not error.is_refusal


async def test_it_waits_no_longer_than_its_time(session: aiohttp.ClientSession) -> None:
    with serving(saying(Said(STATUS, after_s=30))) as server:
        began = time.monotonic()
        error = await complaint(session, server.url, timeout_s=0.2)
    assert time.monotonic() - began < 15
    assert "no answer" in error.message


async def test_it_says_when_a_web_page_answers(session: aiohttp.ClientSession) -> None:
    with serving(saying(Said("<html>router</html>", kind="text/html"))) as server:
        error = await complaint(session, server.url)
    assert "a web page, so it is no agent" in error.message


async def test_it_says_when_the_path_is_missing(session: aiohttp.ClientSession) -> None:
    with serving(saying(Said("404", status=404))) as server:
        assert "no agent" in (await complaint(session, server.url)).message


async def test_it_says_when_the_agent_is_broken(session: aiohttp.ClientSession) -> None:
    with serving(saying(Said("oops", status=500))) as server:
        assert "status 500" in (await complaint(session, server.url)).message


async def test_it_follows_no_redirect(session: aiohttp.ClientSession) -> None:
    with serving(saying(Said("", status=302))) as server:
        assert "status 302" in (await complaint(session, server.url)).message


async def test_it_reads_no_huge_answer(session: aiohttp.ClientSession) -> None:
    huge = json.dumps(STATUS | {"hostname": "x" * (2 << 20)})
    with serving(saying(Said(huge))) as server:
        assert "more than 1 MiB" in (await complaint(session, server.url)).message


async def test_it_measures_how_wrong_the_agents_clock_is(session: aiohttp.ClientSession) -> None:
    with serving(saying(Said(STATUS, skew_s=-3600))) as server:
        reading = await ask(session, server.url)
    assert reading.clock_skew_s == pytest.approx(-3600, abs=1.5)


async def test_a_token_that_no_header_can_carry_is_an_error_in_words(session: aiohttp.ClientSession) -> None:
    with agent() as running:
        assert (await complaint(session, running.url, token="a\nb")).message


async def test_it_takes_renews_and_frees_a_lock(session: aiohttp.ClientSession) -> None:
    with agent(token="t") as running:
        place: Any = {"base_url": running.url, "token": "t"}
        assert await mirror_lock(session, **place, lock=LOCK) is None
        assert await mirror_lock(session, **place, lock=LOCK) is None
        told = running.lock()
        assert told
        assert (told["owner"], told["installation"]) == ("otto", "i1")
        assert await mirror_unlock(session, **place, lock={"id": "l1", "installation": "i1"}) is None
        assert running.lock() is None


async def test_it_gives_the_lock_that_stands_in_the_way(session: aiohttp.ClientSession) -> None:
    with agent() as running:
        place: Any = {"base_url": running.url, "token": ""}
        await mirror_lock(session, **place, lock=LOCK)
        other = await mirror_lock(session, **place, lock=LOCK | {"id": "l2", "installation": "i2"})
        assert other
        assert other["owner"] == "otto"
        kept = await mirror_unlock(session, **place, lock={"id": "l1", "installation": "i2"})
        assert kept
        assert running.lock()


@pytest.mark.parametrize("body", [b"<html>", b"{}", json.dumps({"lock": "mine"}).encode()])
async def test_a_refusal_that_names_no_lock_is_an_error(session: aiohttp.ClientSession, body: bytes) -> None:
    with serving(saying(Said(body, status=409))) as server:
        with pytest.raises(AgentError):
            await mirror_lock(session, base_url=server.url, token="", lock=LOCK)
        with pytest.raises(AgentError):
            await mirror_unlock(session, base_url=server.url, token="", lock={"id": "a", "installation": "b"})


async def test_a_broken_agent_refuses_a_lock_in_words(session: aiohttp.ClientSession) -> None:
    with serving(saying(Said({"lock": lock_told()}, status=500))) as server:
        with pytest.raises(AgentError, match="status 500"):
            await mirror_lock(session, base_url=server.url, token="", lock=LOCK)
        with pytest.raises(AgentError, match="status 500"):
            await mirror_unlock(session, base_url=server.url, token="", lock={"id": "a", "installation": "b"})
