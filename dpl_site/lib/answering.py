"""How a door beside Django answers: JSON with the headers that Django's middleware would add. Async."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import orjson
from django.conf import settings

from dpl_site.lib import trace
from dpl_site.lib.refusals import Refused, Surface, error_body
from dpl_site.lib.rest import server_error_of

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Drain = Callable[[float], Awaitable[None]]

DRAIN_S = 10.0
"""How long the rest of a body is read and forgotten after an early answer.

A connection that is closed while the client still sends is reset, and the answer is lost on its way.
"""


def header(scope: Scope, name: bytes) -> str:
    """A request's header, empty when it has none."""
    for key, value in scope["headers"]:
        if key == name:
            return str(value, "latin-1")
    return ""


class Answer:
    """The one answer to a request."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self._scope, self._send = scope, send

    async def send(
        self, status: int, body: dict[str, Any], drain: Drain, extra: dict[str, str] | None = None
    ) -> None:
        """Answer with JSON; `drain` reads what is left of the request before the answer ends."""
        payload = orjson.dumps(body)
        headers = self._headers() | (extra or {}) | {"content-length": str(len(payload))}
        raw = [(name.encode(), value.encode("latin-1", "replace")) for name, value in headers.items()]
        await self._send({"type": "http.response.start", "status": status, "headers": raw})
        await self._send({"type": "http.response.body", "body": payload, "more_body": True})
        await drain(DRAIN_S)
        await self._send({"type": "http.response.body", "body": b""})

    async def refuse(self, refused: Refused, drain: Drain) -> None:
        """Answer with a service's no."""
        extra = {"connection": "close"}
        if refused.status == 401:
            extra["www-authenticate"] = "Bearer"
        if refused.status == 405:
            extra["allow"] = "POST"
        if refused.status == 503:
            extra["retry-after"] = "2"
        body = error_body(Surface.DPL, refused.message, refused.code, refused.status, refused.detail)
        await self.send(refused.status, body, drain, extra)

    async def broke(self, error: BaseException, drain: Drain) -> None:
        """Answer to what nobody expected."""
        response = server_error_of(self._scope["path"], error)
        body = orjson.loads(getattr(response, "content", b"{}"))
        await self.send(response.status_code, body, drain, {"connection": "close"})

    def _headers(self) -> dict[str, str]:
        headers = {
            "content-type": "application/json",
            "x-request-id": trace.request_id.get(),
            "cache-control": "no-store",
            "x-content-type-options": "nosniff",
            "referrer-policy": "same-origin",
        }
        origin = header(self._scope, b"origin")
        if origin and {origin, "*"} & set(settings.DPL_CORS_ORIGINS):
            headers |= {"access-control-allow-origin": origin, "vary": "origin"}
        return headers
