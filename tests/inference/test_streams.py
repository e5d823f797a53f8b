"""A client that waits for its stream: signs of life, and what becomes of them when it reads no more."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from inference import streams
from inference.exchange import Limits, Route
from inference.records import Note
from inference.scheduling import Candidate, EngineSnapshot
from inference.slots import Held
from inference.streams import TextExchange
from inference.surfaces.openai import OpenAIChat
from inference.upstream import Target

ASKED = b'{"model":"m","messages":[{"role":"user","content":"a"}],"stream":true}'


class Reader:
    """A client; one that is stuck takes its first sign of life for ever."""

    def __init__(self, *, is_stuck: bool = False) -> None:
        self.has_begun = self.has_content = False
        self.note = Note("r", "/v1/chat/completions")
        self.pings = 0
        self._is_stuck = is_stuck

    async def begin(self, content_type: str, route: Any) -> None:
        self.has_begun = True

    async def write(self, data: bytes) -> None:
        raise AssertionError("nothing was answered")

    async def keep_waiting(self, data: bytes) -> None:
        self.pings += 1
        if self._is_stuck:
            await asyncio.get_running_loop().create_future()

    async def end(self) -> None:
        raise AssertionError("nothing was answered")

    async def whole(self, status: int, content_type: str, body: bytes, route: Any) -> None:
        raise AssertionError("nothing was answered")


def an_exchange(reader: Reader) -> TextExchange:
    snapshot = EngineSnapshot(1, 1, "fast", True, resident=("m",))
    target = Target(1, 1, "openai", "http://127.0.0.1:9")
    route = Route(target, Held(1, 1, 0, 1), Candidate(snapshot, "m", 1.0), "fast")
    surface = OpenAIChat()
    return TextExchange(route, surface, surface.read(ASKED), reader, Limits(1, 1, 1000))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "PING_S", 0.01)


async def test_it_gets_a_sign_of_life_again_and_again() -> None:
    reader = Reader()

    async def until_the_third() -> str:
        while reader.pings < 3:  # noqa: ASYNC110 - the client counts, and tells nobody
            await asyncio.sleep(0.005)
        return "answer"

    assert await an_exchange(reader).meanwhile(until_the_third()) == "answer"
    assert reader.has_begun


async def test_one_who_reads_no_more_does_not_hold_up_the_end() -> None:
    reader = Reader(is_stuck=True)
    waiting = asyncio.ensure_future(an_exchange(reader).meanwhile(asyncio.sleep(3600)))
    while not reader.pings:  # noqa: ASYNC110 - the client counts, and tells nobody
        await asyncio.sleep(0.005)
    waiting.cancel()
    await asyncio.wait({waiting}, timeout=10)
    assert waiting.cancelled()
