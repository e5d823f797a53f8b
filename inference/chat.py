"""The chat socket of the pages: questions are answered through the gateway, several at once, each until it is stopped.

Async.
"""

from __future__ import annotations

import asyncio
import json
import logging
from contextlib import AsyncExitStack
from typing import Any

from channels.generic.websocket import AsyncWebsocketConsumer

from accounts.authentication import Principal, authenticate_scope
from accounts.consumers import FORBIDDEN, SEND_S, TRY_AGAIN_LATER, UNAUTHENTICATED
from accounts.http import lacks
from dpl_site.lib import trace
from dpl_site.lib.refusals import Refused
from inference import gateway
from inference.errors import InferenceError
from inference.exchange import Route
from inference.gateway import Gateway
from inference.records import CANCELLED, CLIENT_LEFT, Note
from inference.surfaces.base import Asked
from inference.surfaces.page import PageChat, id_of, message

PATH = "/ws/chat/"
MOST_AT_ONCE = 4
"""Questions of one socket that are answered at the same time."""

logger = logging.getLogger(__name__)


class ChatConsumer(AsyncWebsocketConsumer):  # type: ignore[misc]  # channels is untyped
    """One page that chats.

    Guarantee: when the page leaves, or stops a question, its engine's connection is closed and its slot given
    on. It writes no rows itself. On kill -9 see `proxy.Proxy`.
    """

    def __init__(self) -> None:
        super().__init__()
        self._answering: dict[str | int, asyncio.Task[None]] = {}

    async def connect(self) -> None:
        """Accept, then close with 4401 (nobody) or 4403 (may not chat), or listen."""
        await self.accept()
        principal = await authenticate_scope(self.scope)
        if principal is None:
            await self.close(UNAUTHENTICATED)
        elif not principal.may("chat"):
            await self.close(FORBIDDEN)

    async def disconnect(self, code: int) -> None:
        """Cut what is being answered, and wait until it has let go."""
        tasks = list(self._answering.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """`start` or `stop`; what is wrong is said in an `error`."""
        identity: str | int | None = None
        try:
            said = _read(text_data)
            identity = id_of(said)
            await self._take(said, identity)
        except Refused as refused:
            await self.tell(message("error", identity, message=refused.message, code=refused.code))

    async def tell(self, data: bytes) -> None:
        """Send what is not empty; a page that takes nothing for SEND_S is dropped."""
        try:
            async with asyncio.timeout(SEND_S):
                for line in data.splitlines():
                    await self.send(text_data=line.decode())
        except TimeoutError:
            await self.close(TRY_AGAIN_LATER)
            raise asyncio.CancelledError from None

    async def _take(self, said: dict[str, Any], identity: str | int) -> None:
        if said.get("type") == "stop":
            if task := self._answering.get(identity):
                task.cancel()
            return
        if said.get("type") != "start":
            raise Refused("type must be start or stop.", code="bad_type")
        if identity in self._answering:
            raise Refused("A question with this id is being answered.", code="id_in_use")
        if len(self._answering) >= MOST_AT_ONCE:
            raise Refused(f"{MOST_AT_ONCE} questions are being answered. Stop one first.", code="too_many")
        principal, to = await self._may_still(), gateway.installed()
        await to.now().limiter.admit(principal)
        self._begin(said, identity, principal, to)

    async def _may_still(self) -> Principal:
        """Who asks: keys and roles may have changed since the page connected. Raises Refused."""
        principal = await authenticate_scope(self.scope)
        if principal is None:
            raise Refused("Log in again.", code="unauthenticated", status=401)
        if not principal.may("chat"):
            raise lacks(principal, "chat")
        return principal

    def _begin(self, said: dict[str, Any], identity: str | int, principal: Principal, to: Gateway) -> None:
        surface = PageChat(identity)
        asked = surface.question(said)
        note = Note(trace.accepted(None), PATH, principal=principal)
        note.model_asked, note.is_streaming = asked.model, True
        work = self._answer(identity, surface, asked, note, to)
        task = asyncio.get_running_loop().create_task(work, name="chat")
        self._answering[identity] = task
        task.add_done_callback(lambda _: self._answering.pop(identity, None))

    async def _answer(
        self, identity: str | int, surface: PageChat, asked: Asked, note: Note, to: Gateway
    ) -> None:
        trace.request_id.set(note.request_id)
        try:
            async with AsyncExitStack() as stack:
                proxy = to.now().proxy
                await proxy.answer(surface, asked, _Page(self, note), stack, note.request_id)
        except Refused as refused:
            note.ended(refused.code, refused.status)
            await self.tell(message("error", identity, message=refused.message, code=refused.code))
        except InferenceError as error:
            note.ended(error.code, error.http_status)
            told = error.engine_message or error.message
            await self.tell(message("error", identity, message=told, code=error.code))
        except asyncio.CancelledError:
            note.ended(CANCELLED, CLIENT_LEFT)
            await self.tell(message("done", identity, usage=None, finish_reason="cancelled"))
            raise
        except Exception:
            note.ended("internal_error", 500)
            logger.exception("a question broke", extra={"action": "question_broke"})
            text = "DPL met a defect; its log has the details."
            await self.tell(message("error", identity, message=text, code="internal_error"))
        finally:
            to.now().record(note)


class _Page:
    """The page as the client of one exchange: messages, and no heads."""

    def __init__(self, consumer: ChatConsumer, note: Note) -> None:
        self.has_begun = False
        self.has_content = False
        self.note = note
        self._consumer = consumer

    async def begin(self, content_type: str, route: Route | None) -> None:
        """A socket has begun already."""
        self.has_begun = True

    async def write(self, data: bytes) -> None:
        """A part of the answer."""
        self.has_content = True
        self.note.wrote(data + b"\n")
        await self._consumer.tell(data)

    async def keep_waiting(self, data: bytes) -> None:
        """Which node answers, or nothing."""
        await self._consumer.tell(data)

    async def end(self) -> None:
        """`done` was the last part."""

    async def whole(self, status: int, content_type: str, body: bytes, route: Route | None) -> None:
        """A page's answer always streams."""
        await self.write(body)


def _read(text: str | None) -> dict[str, Any]:
    try:
        said = json.loads(text or "")
    except ValueError:
        raise Refused("A message must be JSON.", code="invalid_json") from None
    if not isinstance(said, dict):
        raise Refused("A message must be a JSON object.", code="invalid_json")
    return said
