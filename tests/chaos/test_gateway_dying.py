"""Engines that die under their requests: what can be answered elsewhere is, what cannot is said, and soon."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.chaos.callers import CHAT, OLLAMA_CHAT, PATHS, Door, until
from tests.chaos.served import Served
from tests.engines.simulated import SimulatedEngine

TOLD_S, OUT_S, BACK_S = 1.0, 2.0, 10.0


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    made = Served()
    try:
        yield made.start()
    finally:
        made.stop()


def error_in(path: str, body: bytes) -> str:
    """The error that an answer ends in, as a client of this dialect finds it; empty when it ends as it should."""
    records = [line.removeprefix(b"data: ") for line in body.split(b"\n") if line.strip()]
    if not records:
        return "nothing at all"
    if records[-1] == b"[DONE]":
        return ""
    last = json.loads(records[-1])
    error = last.get("error", "")
    if path == CHAT and error:
        assert error.keys() >= {"message", "type", "code"}
        return str(error["message"])
    if path == OLLAMA_CHAT and error:
        assert isinstance(error, str)
        return error
    is_whole = last.get("done") or last.get("object") == "chat.completion"
    return "" if is_whole else "no end"


@pytest.mark.parametrize(
    ("kind", "path", "stream"),
    [
        ("openai", CHAT, True),
        ("ollama", OLLAMA_CHAT, False),
        ("openai", OLLAMA_CHAT, True),
        ("ollama", CHAT, False),
    ],
)
async def test_a_client_does_not_notice_that_an_engine_died_before_its_first_byte(
    served: Served, kind: str, path: str, stream: bool
) -> None:
    name = f"{kind}{path}{stream}".replace("/", "-")
    first = served.engine(f"{name}-a", model=name, dialect=kind, latency_ms=600_000)
    call = await served.door().chat(path, "say it again", stream=stream, model=name)
    await until(lambda: first.stats()["in_flight"] == 1, "the request")
    second = served.engine(f"{name}-b", model=name, dialect=kind, echo=True)
    await asyncio.to_thread(first.kill)
    status, headers, body = await call.answer()
    call.leave()
    assert (status, error_in(path, body)) == (200, "")
    assert b"say" in body
    assert headers["x-dpl-node-name"] == f"{name}-b"
    await asyncio.to_thread(second.kill)


@pytest.mark.parametrize(
    ("kind", "path"), [("openai", CHAT), ("ollama", OLLAMA_CHAT), ("openai", OLLAMA_CHAT), ("ollama", CHAT)]
)
async def test_a_client_is_told_within_a_second_that_an_engine_died_in_the_middle_of_its_answer(
    served: Served, kind: str, path: str
) -> None:
    name = f"{kind}{path}-middle".replace("/", "-")
    engine = served.engine(name, dialect=kind, tokens_per_second=20, words=100_000)
    call = await served.door().chat(path, model=name)
    assert (await call.head())[0] == 200
    chunks = call.chunks()
    parts = [await anext(chunks)]
    await asyncio.to_thread(engine.kill)
    died = time.monotonic()
    parts += [part async for part in chunks]
    took = time.monotonic() - died
    call.leave()
    assert "engine" in error_in(path, b"".join(parts))
    assert took < TOLD_S


# --- A hundred times, under load --------------------------------------------------------------------------

KILLS, KILL_EVERY_S, ENGINES, CLIENTS = 100, 0.6, 6, 64


class Crowd:
    """Clients that ask again and again, in both dialects, and what they were told."""

    def __init__(self, door: Door, model: str) -> None:
        self.told: Counter[str] = Counter()
        self._door, self._model = door, model
        self._is_over = False

    async def __aenter__(self) -> Crowd:
        self._clients = [asyncio.create_task(self._ask(number)) for number in range(CLIENTS)]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._is_over = True
        await asyncio.gather(*self._clients)

    async def _ask(self, number: int) -> None:
        path, stream = list(PATHS.values())[number % 2], number % 4 < 2
        while not self._is_over:
            call = await self._door.chat(path, "say it again", stream=stream, model=self._model)
            try:
                async with asyncio.timeout(30):
                    status, _, body = await call.answer()
                self.told[f"{status} {error_in(path, body)[:60]}".strip()] += 1
            except (TimeoutError, OSError, EOFError, ValueError) as error:
                self.told[f"unanswered: {error!r}"] += 1
            finally:
                call.leave()


async def test_nobody_is_left_without_an_answer_when_engines_are_killed_a_hundred_times(
    served: Served, record_property: Callable[[str, Any], None]
) -> None:
    """One engine after the other is killed and started again, so that some of them are always there, seldom all."""
    engines = [
        served.engine(
            f"crowd{number}", model="crowd", slots=16, latency_ms=50, tokens_per_second=100, words=10
        )
        for number in range(ENGINES)
    ]
    async with Crowd(served.door(), model="crowd") as crowd:
        for number in range(KILLS):
            began = time.monotonic()
            await asyncio.to_thread(engines[number % ENGINES].kill)
            await asyncio.to_thread(engines[number % ENGINES].start)
            await asyncio.sleep(began + KILL_EVERY_S - time.monotonic())
    record_property("told", dict(crowd.told.most_common()))
    assert not [told for told in crowd.told if told.startswith("unanswered") or "no end" in told]
    assert crowd.told["200"] > 0.8 * crowd.told.total()
    await until(lambda: not served.slots_held(), "all slots")


async def test_a_dead_node_is_out_of_rotation_soon_and_back_soon_after_its_return(
    served: Served, record_property: Callable[[str, Any], None]
) -> None:
    engines = [
        served.engine(f"turn{number}", model="turn", slots=16, latency_ms=50, echo=True)
        for number in range(2)
    ]
    outs, backs = [], []
    async with Crowd(served.door(), model="turn") as crowd:
        for engine in engines:
            await finished(engine, 10)
            await asyncio.to_thread(engine.kill)
            died = time.monotonic()
            with Grave(engine.port) as grave:
                await asyncio.sleep(OUT_S + 2)
            outs.append(max([at - died for at in grave.posts], default=0.0))
            await asyncio.to_thread(engine.start)
            backs.append(await finished(engine, 1))
    record_property("told", dict(crowd.told))
    record_property("out of rotation after s", [round(one, 2) for one in outs])
    record_property("back after s", [round(one, 2) for one in backs])
    assert crowd.told.keys() == {"200"}
    assert max(outs) < OUT_S
    assert max(backs) < BACK_S


async def finished(engine: SimulatedEngine, count: int) -> float:
    """Wait until an engine has answered so many requests; how many seconds that took."""
    return await until(lambda: engine.stats()["finished"] >= count, f"{count} answers", 30)


class Grave:
    """What listens where an engine was: it resets every connection, and notes when a request was sent there."""

    def __init__(self, port: int) -> None:
        self.posts: list[float] = []
        self._listener = socket.create_server(("127.0.0.1", port), backlog=128)
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> Grave:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                connection.settimeout(1)
                with connection, contextlib.suppress(OSError):
                    if connection.recv(64).startswith(b"POST /api/chat"):
                        self.posts.append(time.monotonic())
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
