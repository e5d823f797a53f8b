"""Which websockets there are, and from which pages they may be opened."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from channels.routing import URLRouter
from django.conf import settings
from django.http.request import validate_host
from django.urls import re_path

from alerts.consumers import websocket_urlpatterns as sockets_of_alerts
from datasets.consumers import websocket_urlpatterns as sockets_of_jobs
from dpl_site.processes.entrance import Application, Receive, Scope, Send
from inference.consumers import websocket_urlpatterns as sockets_of_the_fleet

NOT_FOUND = 4404
FOREIGN_ORIGIN = 4403
_PORTS = {"http": 80, "https": 443}


def sockets() -> Application:
    """All websockets of the site, by path; a path that there is not is closed with 4404."""
    unknown: Any = _not_found
    return own_pages_only(
        URLRouter([*sockets_of_the_fleet, *sockets_of_jobs, *sockets_of_alerts, re_path(r"", unknown)])
    )


def own_pages_only(application: Application) -> Application:
    """Let in browsers on our own pages, and programs, which send no Origin and no cookies of others."""

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        if is_own_origin(_header(scope, b"origin"), _header(scope, b"host")):
            await application(scope, receive, send)
        else:
            await receive()
            await send({"type": "websocket.close", "code": FOREIGN_ORIGIN})

    return guarded


def is_own_origin(origin: str | None, host: str | None) -> bool:
    """Whether a socket may be opened from a page of this origin: ours, a listed one, or none at all.

    `host` is the Host header. Where DPL_ALLOWED_HOSTS lists names, the origin's must be among them.
    """
    if origin is None or origin in settings.CSRF_TRUSTED_ORIGINS or origin in settings.DPL_CORS_ORIGINS:
        return True
    try:
        page = urlsplit(origin)
        own = urlsplit(f"{page.scheme}://{host}")
        standard = _PORTS.get(page.scheme)
        is_same = page.hostname == own.hostname and (page.port or standard) == (own.port or standard)
    except ValueError:
        return False
    name = page.hostname or ""
    is_listed = validate_host(f"[{name}]" if ":" in name else name, settings.ALLOWED_HOSTS)
    return page.scheme in _PORTS and bool(name) and is_same and is_listed


def _header(scope: Scope, name: bytes) -> str | None:
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == name), None)


async def _not_found(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.accept"})  # a refused handshake would not carry the code
    await send({"type": "websocket.close", "code": NOT_FOUND})
