"""The real llama.cpp server: what the dialect, the upstream and the detection believe of it is so."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from dpl_site.lib import http
from inference import errors
from inference.detection import detect, read_engine
from inference.dialects.base import Generation, Reply
from inference.upstream import Target, Timeouts, Upstream
from tests.engines.llama_server import ALIAS, LlamaServer, llama_server
from tests.engines.tiny_gguf import SLOW, SMALL, Shape, write_model

pytest.importorskip("xllamacpp", reason="the llama.cpp server is not installed (requirements/slow.txt)")
pytestmark = pytest.mark.e2e

TIMEOUTS = Timeouts(connect_s=2, first_byte_s=20, idle_s=20, total_s=60)
MESSAGES = [{"role": "user", "content": "Hello, 灯"}]
ASKED = Generation(ALIAS, MESSAGES, {"max_tokens": 12, "temperature": 0, "seed": 1})
ENDLESS = replace(ASKED, sampling={"max_tokens": 60_000, "temperature": 0})


def _model(folder: Path, shape: Shape) -> Path:
    write_model(folder / "model.gguf", shape)
    return folder / "model.gguf"


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _model(tmp_path_factory.mktemp("small"), SMALL)


@pytest.fixture(scope="session")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _model(tmp_path_factory.mktemp("slow"), SLOW)


@pytest.fixture(scope="session")
def engine(small: Path) -> Iterator[LlamaServer]:
    with llama_server(small) as server:
        yield server


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    made = Upstream()
    yield made
    await made.close()


def _target(server: LlamaServer, api_key: str = "") -> Target:
    return Target(engine_id=1, node_id=1, kind="openai", base_url=server.base_url, api_key=api_key)


async def test_it_is_detected_with_its_slots_and_its_model(engine: LlamaServer) -> None:
    async with http.session() as client:
        found = await detect(client, f"{engine.base_url}/v1/chat/completions")
        again = await read_engine(client, base_url=found.base_url, kind=found.kind)
    assert (found.kind, found.base_url, found.slots) == ("openai", engine.base_url, 4)
    assert found.server.startswith("llama.cpp")
    assert [(model.name, model.is_resident, model.context_length) for model in found.models] == [
        (ALIAS, True, 512)
    ]
    assert again == replace(found, server=again.server)


async def test_it_generates_with_usage_and_times(engine: LlamaServer, upstream: Upstream) -> None:
    reply = await upstream.generate(_target(engine), ASKED, TIMEOUTS)
    assert len(reply.text) >= 12
    assert (reply.finish_reason, reply.completion_tokens) == ("length", 12)
    assert reply.prompt_tokens is not None
    assert reply.prompt_tokens > 5
    assert reply.ttft_ms is not None
    assert reply.duration_ms is not None
    assert reply.ttft_ms <= reply.duration_ms


async def test_its_collected_stream_is_its_plain_answer(engine: LlamaServer, upstream: Upstream) -> None:
    streamed = await upstream.generate(_target(engine), ASKED, TIMEOUTS)
    body = {"model": ALIAS, "messages": MESSAGES, **ASKED.sampling}
    async with http.session() as client:
        answer = await http.ask(
            client, "POST", f"{engine.base_url}/v1/chat/completions", json=body, timeout_s=20
        )
    assert _shape(orjson.loads(streamed.json)) == _shape(orjson.loads(answer.body))


def _shape(completion: dict[str, Any]) -> dict[str, Any]:
    """The completion without what differs from one call to the next."""
    timings = sorted(completion.pop("timings"))
    usage = completion["usage"]
    usage.pop("prompt_tokens_details")
    return completion | {"id": "", "created": 0, "timings": timings}


async def test_it_names_a_prompt_that_is_too_long(engine: LlamaServer, upstream: Upstream) -> None:
    long = replace(ASKED, messages=[{"role": "user", "content": "word " * 2000}])
    with pytest.raises(errors.ContextOverflow, match="512"):
        await upstream.generate(_target(engine), long, TIMEOUTS)


async def test_it_names_a_request_that_is_refused(engine: LlamaServer, upstream: Upstream) -> None:
    with pytest.raises(errors.RequestRefused):
        await upstream.generate(_target(engine), replace(ASKED, messages=[{"role": "user"}]), TIMEOUTS)


async def test_it_serves_its_model_under_any_name(engine: LlamaServer, upstream: Upstream) -> None:
    reply = await upstream.generate(_target(engine), replace(ASKED, model="another"), TIMEOUTS)
    assert orjson.loads(reply.json)["model"] == ALIAS


async def test_it_asks_for_its_key(small: Path, upstream: Upstream) -> None:
    with llama_server(small, api_key="right") as server:
        assert (await upstream.generate(_target(server, "right"), ASKED, TIMEOUTS)).text
        async with http.session() as client:
            for key, hint in (("", "asks for a key"), ("wrong", "refuses the key")):
                with pytest.raises(errors.EngineRejectsUs):
                    await upstream.generate(_target(server, key), ASKED, TIMEOUTS)
                with pytest.raises(errors.EngineRejectsUs, match=hint):
                    await detect(client, server.base_url, key)


async def test_it_may_end_kept_connections_without_harm(engine: LlamaServer, upstream: Upstream) -> None:
    """It closes a connection after a hundred requests, and after some idle seconds."""

    async def many(count: int) -> list[Reply]:
        return [await upstream.generate(_target(engine), ASKED, TIMEOUTS) for _ in range(count)]

    replies = await asyncio.gather(*(many(130) for _ in range(3)))
    assert {reply.completion_tokens for part in replies for reply in part} == {12}


async def test_a_kill_in_the_middle_of_a_stream_is_a_lost_connection(slow: Path, upstream: Upstream) -> None:
    with llama_server(slow, context=65536, slots=1) as server:
        task = asyncio.create_task(upstream.generate(_target(server), ENDLESS, TIMEOUTS))
        await _processing(server, True)
        await asyncio.sleep(0.2)
        server.process.kill()
        await asyncio.to_thread(server.process.wait)
        with pytest.raises(errors.ConnectionLost):
            await task
        with pytest.raises(errors.Unreachable):
            await upstream.generate(_target(server), ASKED, TIMEOUTS)


async def test_cancelling_frees_the_slot_in_half_a_second(slow: Path, upstream: Upstream) -> None:
    with llama_server(slow, context=65536, slots=1) as server:
        task = asyncio.create_task(upstream.generate(_target(server), ENDLESS, TIMEOUTS))
        await _processing(server, True)
        task.cancel()
        started = time.monotonic()
        await _processing(server, False)
        assert time.monotonic() - started < 0.5


async def _processing(server: LlamaServer, expected: bool) -> None:
    """Wait until the engine's slot is, or is not, at work."""
    async with http.session() as client, asyncio.timeout(10):
        while True:
            answer = await http.ask(client, "GET", f"{server.base_url}/slots", timeout_s=5)
            if any(slot["is_processing"] for slot in orjson.loads(answer.body)) is expected:
                return
            await asyncio.sleep(0.02)
