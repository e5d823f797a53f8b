"""A web server with the gateway's door, for tests that speak to it over sockets; and records for those that do not."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import uvicorn
from django.core.asgi import get_asgi_application

from dpl_site.processes.connections import BoundedConnection
from dpl_site.processes.entrance import Site, Together
from dpl_site.processes.presence import WebPresence
from inference.door import GatewayDoor
from inference.gateway import Gateway
from inference.records import Attempt, RequestRecord

AT = 1_774_000_000.0
"""2026-03-20, epoch seconds."""


@contextmanager
def served() -> Iterator[str]:
    """Serve the door before Django; the address. At the end everything is written and given back."""
    presence = WebPresence()
    gateway = Gateway(lambda: presence.instance_id)

    async def no_sockets(scope: Any, receive: Any, send: Any) -> None:
        raise NotImplementedError

    application = Site(
        doors=(GatewayDoor(gateway),),
        pages=cast(Any, get_asgi_application()),
        sockets=no_sockets,
        beside=Together(gateway, presence),
    )
    server = uvicorn.Server(
        uvicorn.Config(application, port=0, http=BoundedConnection, log_level="critical", ws="none")
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        until(lambda: server.started and presence.instance_id)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(timeout=20)


def until(condition: Callable[[], object], timeout_s: float = 20.0) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def attempt(node: str = "fast", model: str = "m", **more: Any) -> Attempt:
    """A try that went to a node."""
    known: dict[str, Any] = {"node_id": 1, "node_name": node, "engine_id": 1, "model": model}
    return Attempt(**known | more)


def a_record(**more: Any) -> RequestRecord:
    """A request that went well."""
    known: dict[str, Any] = {
        "request_id": "r",
        "at": AT,
        "path": "/api/chat",
        "outcome": "ok",
        "status": 200,
        "user_id": 1,
        "username": "otto",
        "prompt_tokens": 5,
        "completion_tokens": 7,
        "duration_ms": 900,
        "ttft_ms": 80,
        "attempts": (attempt(),),
    }
    return RequestRecord(**known | more)
