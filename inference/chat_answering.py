"""One question of the chat page answered whole, for pages whose socket is down or that run no scripts. Async."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Any, TypedDict

import orjson

from accounts.authentication import Principal
from dpl_site.lib import trace
from dpl_site.lib.refusals import Refused
from inference import gateway
from inference.errors import InferenceError
from inference.exchange import Route
from inference.records import CANCELLED, CLIENT_LEFT, Note
from inference.surfaces.page import PageChat

PATH = "/chat/answer"


class Whole(TypedDict):
    """An answer in one piece, with the words of the socket's messages; what no engine told is None."""

    node: dict[str, Any] | None
    model: str
    reasons: list[str]
    text: str
    thinking: str
    usage: dict[str, int] | None
    finish_reason: str
    ttft_ms: int | None
    duration_ms: int


async def answered(said: Mapping[str, Any], principal: Principal) -> Whole:
    """The answer to the question in `said`, as in the socket's `start`. Raises Refused, also for what engines say.

    Guarantee: when the page leaves, the engine's connection is closed and its slot given on.
    """
    surface, to = PageChat(""), gateway.installed()
    asked = surface.question(said)
    await to.now().limiter.admit(principal)
    note = Note(trace.request_id.get() or trace.accepted(None), PATH, principal=principal)
    note.model_asked = asked.model
    client = _Gathering(note)
    try:
        async with AsyncExitStack() as stack:
            await to.now().proxy.answer(surface, asked, client, stack, note.request_id)
        return client.gathered()
    except Refused as refused:
        note.ended(refused.code, refused.status)
        raise
    except InferenceError as error:
        note.ended(error.code, error.http_status)
        told = error.engine_message or error.message
        raise Refused(told, code=error.code, status=error.http_status) from error
    except asyncio.CancelledError:
        note.ended(CANCELLED, CLIENT_LEFT)
        raise
    except BaseException:
        note.ended("internal_error", 500)
        raise
    finally:
        to.now().record(note)


class _Gathering:
    """The client of one exchange that keeps the messages until all have come."""

    def __init__(self, note: Note) -> None:
        self.has_begun = False
        self.has_content = False
        self.note = note
        self._began = time.monotonic()
        self._ttft_ms: int | None = None
        self._node: dict[str, Any] = {"node": None, "model": "", "reasons": []}
        self._done: dict[str, Any] = {"usage": None, "finish_reason": ""}
        self._pieces: dict[str, list[str]] = {"token": [], "thinking": []}

    async def begin(self, content_type: str, route: Route | None) -> None:
        """Nothing is sent before all is there."""
        self.has_begun = True

    async def write(self, data: bytes) -> None:
        """A part of the answer."""
        self.has_content = True
        self.note.wrote(data + b"\n")
        self._take(data)

    async def keep_waiting(self, data: bytes) -> None:
        """Which node answers, or nothing."""
        self._take(data)

    async def end(self) -> None:
        """`done` was the last part."""

    async def whole(self, status: int, content_type: str, body: bytes, route: Route | None) -> None:
        """A page's answer always streams."""
        await self.write(body)

    def gathered(self) -> Whole:
        """All of it."""
        return Whole(
            node=self._node["node"],
            model=self._node["model"],
            reasons=self._node["reasons"],
            text="".join(self._pieces["token"]),
            thinking="".join(self._pieces["thinking"]),
            usage=self._done["usage"],
            finish_reason=self._done["finish_reason"],
            ttft_ms=self._ttft_ms,
            duration_ms=self._ms(),
        )

    def _take(self, data: bytes) -> None:
        for line in data.splitlines():
            said = orjson.loads(line)
            if said["type"] in self._pieces:
                self._ttft_ms = self._ms() if self._ttft_ms is None else self._ttft_ms
                self._pieces[said["type"]].append(said["text"])
            elif said["type"] == "node":
                self._node = said
            elif said["type"] == "done":
                self._done = said

    def _ms(self) -> int:
        return round((time.monotonic() - self._began) * 1000)
