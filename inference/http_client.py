"""The client of one request over HTTP: heads, parts and pings go to it, and errors in its dialect. Async."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import lru_cache
from urllib.parse import quote

import orjson
from django.conf import settings

from accounts.limits import OverLimit
from dpl_site.lib import trace
from dpl_site.lib.answering import Message, Scope, Send, header
from dpl_site.lib.refusals import CODES, Refused, error_body, surface_of
from inference.errors import RequestRefused
from inference.exchange import Route
from inference.records import Note
from inference.surfaces import SURFACES
from inference.surfaces.base import Surface, VectorSurface

UNREAD_S = 60.0
"""How long a client may leave what was sent to it unread before it is dropped."""
_SAFE = ((b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"))


class HttpClient:
    """The client of one request over HTTP."""

    def __init__(self, scope: Scope, send: Send, forget: Callable[[], Awaitable[None]]) -> None:
        """`forget` reads what is left of the request, so that a client that still sends gets to see an error."""
        self.surface: Surface | VectorSurface = SURFACES[scope["path"]]
        self.has_begun = False
        self.has_content = False
        self.note = Note(trace.request_id.get(), scope["path"])
        self.told: Mapping[str, str] = {}
        """What every answer tells in its headers: how much of the key's limits is left."""
        self._scope, self._send, self._forget = scope, send, forget
        self._sending_since = float("inf")

    def is_unread(self) -> bool:
        """Whether what was sent last has waited for UNREAD_S to be read."""
        return time.monotonic() - self._sending_since > UNREAD_S

    async def begin(self, content_type: str, route: Route | None) -> None:
        """The head of a stream; a second time changes nothing."""
        if not self.has_begun:
            self.has_begun = True
            await self._start(200, content_type, route)

    async def write(self, data: bytes) -> None:
        """A part of the answer."""
        self.has_content = True
        self.note.wrote(data)
        await self._say({"type": "http.response.body", "body": data, "more_body": True})

    async def keep_waiting(self, data: bytes) -> None:
        """What is no part of the answer."""
        await self._say({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self) -> None:
        """The answer is whole."""
        await self._say({"type": "http.response.body", "body": b""})

    async def whole(self, status: int, content_type: str, body: bytes, route: Route | None) -> None:
        """An answer that is no stream."""
        self.has_begun = self.has_content = True
        if status >= 400:
            self.note.ended(RequestRefused.code, status)
        await self._start(status, content_type, route, {"content-length": str(len(body))})
        await self._say({"type": "http.response.body", "body": body})

    async def refuse(self, refused: Refused) -> None:
        """A no, in the client's dialect."""
        more = {"allow": "POST"} if refused.status == 405 else {}
        if refused.status == 401:
            more["www-authenticate"] = "Bearer"
        retry = 2.0 if refused.status in (429, 503) else None
        if isinstance(refused, OverLimit):
            self.told, retry = refused.headers, refused.retry_after_s
        await self.fail(refused.message, refused.code, refused.status, retry_after_s=retry, more=more)

    async def fail(
        self,
        message: str,
        code: str,
        status: int,
        *,
        retry_after_s: float | None = None,
        more: dict[str, str] | None = None,
    ) -> None:
        """An error: as the answer, or within a stream that has begun, which then ends."""
        self.note.ended(code or CODES.get(status, "error"), status)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(UNREAD_S):
                await self._fail(message, code, status, retry_after_s, more)

    async def _fail(
        self, message: str, code: str, status: int, retry_after_s: float | None, more: dict[str, str] | None
    ) -> None:
        if self.has_begun:
            await self.keep_waiting(self.surface.late_error(message, code, status))
            return await self.end()
        headers = dict(more or {})
        if retry_after_s is not None or status in (429, 503):
            headers["retry-after"] = str(max(1, round(retry_after_s or 1)))
        body = orjson.dumps(error_body(surface_of(self._scope["path"]), message, code, status))
        self.has_begun = True
        await self._start(
            status,
            "application/json",
            None,
            headers | {"content-length": str(len(body)), "connection": "close"},
        )
        await self._say({"type": "http.response.body", "body": body, "more_body": True})
        await self._forget()
        return await self.end()

    async def _start(
        self, status: int, content_type: str, route: Route | None, more: dict[str, str] | None = None
    ) -> None:
        headers = [
            *_SAFE,
            (b"content-type", _latin(content_type)),
            (b"x-request-id", trace.request_id.get().encode()),
            *_allowed_origin(self._scope),
        ]
        if told := {**self.told, **more} if more and self.told else more or self.told:
            headers += [(name.encode(), _latin(value)) for name, value in told.items()]
        if route is not None:
            headers += _node_headers(route.target.node_id, route.node_name)
        await self._say({"type": "http.response.start", "status": status, "headers": headers})

    async def _say(self, message: Message) -> None:
        self._sending_since = time.monotonic()
        await self._send(message)
        self._sending_since = float("inf")


def _allowed_origin(scope: Scope) -> list[tuple[bytes, bytes]]:
    origin = header(scope, b"origin")
    if origin and {origin, "*"} & set(settings.DPL_CORS_ORIGINS):
        exposed = ", ".join(settings.CORS_EXPOSE_HEADERS)
        return [
            (b"access-control-allow-origin", _latin(origin)),
            (b"access-control-expose-headers", exposed.encode()),
            (b"vary", b"origin"),
        ]
    return []


@lru_cache(maxsize=1024)
def _node_headers(node_id: int, name: str) -> tuple[tuple[bytes, bytes], ...]:
    return ((b"x-dpl-node", str(node_id).encode()), (b"x-dpl-node-name", quote(name).encode()))


def _latin(text: str) -> bytes:
    return text.encode("latin-1", "replace")
