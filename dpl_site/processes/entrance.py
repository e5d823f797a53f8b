"""What every request passes on its way in: its exit stack, the limit of its body, and the choice of who answers.

Plain ASGI and without Django, so that a door can answer before Django is asked.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from contextlib import AsyncExitStack
from typing import Any, Protocol

from dpl_site.lib.refusals import error_body, surface_of

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

AGAIN_S = 1.0
FORGET_S = 5.0
"""How long the rest of a refused body is read and forgotten."""
EXIT_STACK = "dpl.exit_stack"
"""The key in a scope under which the request's AsyncExitStack stands."""


class Door(Protocol):
    """An application that answers some paths itself, beside Django, and limits bodies by itself."""

    def owns(self, scope: Scope) -> bool:
        """Whether this request is for this door."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer it."""


class Beside(Protocol):
    """What runs beside the requests of this process."""

    def begin(self) -> None:
        """Start it in the running loop, unless it runs there already."""

    async def end(self) -> None:
        """Stop it."""


class Together:
    """Several that run beside requests: begun in the reverse order of their end.

    Each request asks for it, and looking at all parts takes longer than such a question should: those that were begun
    in this loop are looked at again after AGAIN_S.
    """

    def __init__(self, *parts: Beside) -> None:
        self._parts = parts
        self._loop: asyncio.AbstractEventLoop | None = None
        self._again_at = 0.0

    def begin(self) -> None:
        """Start all."""
        now = time.monotonic()
        if now < self._again_at and self._loop is not None and self._loop.is_running():
            return
        self._loop, self._again_at = asyncio.get_running_loop(), now + AGAIN_S
        for part in reversed(self._parts):
            part.begin()

    async def end(self) -> None:
        """Stop all, the first first."""
        self._loop = None
        for part in self._parts:
            await part.end()


class Releases(AsyncExitStack):
    """A request's exit stack, which knows whether closing it may have to wait for something."""

    may_wait = False

    def push_async_callback(self, callback: Any, /, *args: Any, **kwds: Any) -> Any:
        """AsyncExitStack's."""
        self.may_wait = True
        return super().push_async_callback(callback, *args, **kwds)

    def push_async_exit(self, exit: Any) -> Any:
        """AsyncExitStack's."""
        self.may_wait = True
        return super().push_async_exit(exit)

    async def enter_async_context(self, cm: Any) -> Any:
        """AsyncExitStack's."""
        self.may_wait = True
        return await super().enter_async_context(cm)


class Site:
    """Gives each request its exit stack and hands it to the first door that owns it, else to Django or the sockets.

    What is on the stack is released when the request ends, however it ends, even when the server cancels it.
    """

    def __init__(
        self, *, doors: Sequence[Door], pages: Application, sockets: Application, beside: Beside
    ) -> None:
        self._doors = doors
        self._pages = pages
        self._sockets = sockets
        self._beside = beside

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, serve one websocket, or follow the server's lifespan."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        self._beside.begin()
        scope[EXIT_STACK] = stack = Releases()
        try:
            await self._application_for(scope)(scope, receive, send)
        finally:
            # What waits for nothing cannot be cut halfway, and needs no task of its own.
            await (_finished(stack.aclose()) if stack.may_wait else stack.aclose())

    def _application_for(self, scope: Scope) -> Application:
        if scope["type"] == "websocket":
            return self._sockets
        for door in self._doors:
            if door.owns(scope):
                return door
        return self._pages

    async def _live(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                self._beside.begin()
                await send({"type": "lifespan.startup.complete"})
            else:
                await self._beside.end()
                await send({"type": "lifespan.shutdown.complete"})
                return


async def _finished(work: Awaitable[None]) -> None:
    """Wait for `work` to its end, even when this task is cancelled meanwhile."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await task
        raise


class _TooLong(Exception):
    """The body passed the limit while it was read; `is_more`: it has not ended yet."""

    def __init__(self, is_more: bool) -> None:
        super().__init__()
        self.is_more = is_more


class LimitedBody:
    """Refuses bodies over a number of bytes with 413, by their announced length, else as they are counted."""

    def __init__(self, application: Application, most_bytes: int) -> None:
        self._application = application
        self._most_bytes = most_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request through, or refuse it."""
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        if _announced(scope) > self._most_bytes:
            await self._refuse(scope, receive, send)
            return
        count = 0
        has_answered = False

        async def counted() -> Message:
            nonlocal count
            message = await receive()
            count += len(message.get("body", b""))
            if count > self._most_bytes:
                raise _TooLong(message.get("more_body", False))
            return message

        async def watched(message: Message) -> None:
            nonlocal has_answered
            has_answered = True
            await send(message)

        try:
            await self._application(scope, counted, watched)
        except _TooLong as too_long:
            if not has_answered:
                await self._refuse(scope, receive, send, is_more=too_long.is_more)

    async def _refuse(self, scope: Scope, receive: Receive, send: Send, *, is_more: bool = True) -> None:
        """Answer, and go on reading for a while: a client whose sending is reset never sees the answer."""
        message = f"The request's body is larger than {self._most_bytes // 2**20} MiB. Send less at once."
        body = json.dumps(error_body(surface_of(scope["path"]), message, "too_large", 413)).encode()
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (b"cache-control", b"no-store"),
            (b"x-content-type-options", b"nosniff"),
            (b"connection", b"close"),
        ]
        await send({"type": "http.response.start", "status": 413, "headers": headers})
        await send({"type": "http.response.body", "body": body, "more_body": True})
        if is_more:
            await _forget_the_rest(receive)
        await send({"type": "http.response.body", "body": b""})


async def _forget_the_rest(receive: Receive) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(FORGET_S):
            while (await receive()).get("more_body"):
                continue


def _announced(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length":
            return int(value) if value.isdigit() else 0
    return 0
