"""Cuts the work for a client that leaves, reads no more, or takes too long to send its request. Async.

A plain ASGI application is not cancelled when its client leaves, so somebody has to look.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Protocol

from dpl_site.lib.answering import Receive
from inference.arrival import BODY_S, ClientGone, RequestBody, too_slow

WATCH_AFTER_S = 0.05
"""A client is watched from then on: a task for each answer that comes sooner would cost more than it saves."""
LOOK_S = 5.0
"""How often a watched client is asked whether it still reads."""


class Reader(Protocol):
    """A client, as far as this is concerned."""

    def is_unread(self) -> bool:
        """Whether what was sent to it has waited for too long."""


class Young:
    """The requests of one event loop that are not watched yet. One timer looks for all that have become old enough."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._since: dict[Attended, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def add(self, one: Attended) -> None:
        """It begins."""
        self._since[one] = self.loop.time()
        if self._timer is None:
            self._timer = self.loop.call_later(WATCH_AFTER_S, self._look)

    def discard(self, one: Attended) -> None:
        """It is over, or watched."""
        self._since.pop(one, None)

    def _look(self) -> None:
        """Begin with those that are old enough, and look again when the next one will be."""
        self._timer = None
        due = self.loop.time() - WATCH_AFTER_S
        for one, since in list(self._since.items()):
            if since > due:
                self._timer = self.loop.call_at(since + WATCH_AFTER_S, self._look)
                break
            del self._since[one]
            one.begin()


class Attended:
    """The work of one request: cut by cancelling its task, which here becomes ClientGone or Refused.

    Most requests are over before they are watched, and nothing is made for them but this.
    """

    __slots__ = (
        "_before",
        "_body",
        "_client",
        "_is_cut",
        "_receive",
        "_task",
        "_timer",
        "_watching",
        "_young",
    )

    def __init__(self, young: Young, receive: Receive, client: Reader, body: RequestBody) -> None:
        self._young, self._receive, self._client, self._body = young, receive, client, body
        self._task: asyncio.Task[object] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._watching: asyncio.Task[None] | None = None
        self._is_cut = False

    def __enter__(self) -> Attended:
        # Given its loop, this asks the system for nothing.
        self._task = asyncio.current_task(self._young.loop)
        self._before = self._task.cancelling() if self._task else 0
        self._young.add(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._young.discard(self)
        for one in (self._timer, self._watching):
            if one is not None:
                one.cancel()
        # As asyncio.Timeout does it: somebody else's cancelling is passed on.
        was_ours = self._is_cut and self._task is not None and self._task.uncancel() <= self._before
        if was_ours and isinstance(error, asyncio.CancelledError):
            raise (ClientGone() if self._body.is_over else too_slow()) from None

    def begin(self) -> None:
        """Watch the client; one whose request is not whole yet is waited for until BODY_S."""
        if self._body.is_over:
            self._watching = self._young.loop.create_task(self._watch())
        else:
            self._timer = self._young.loop.call_later(BODY_S - WATCH_AFTER_S, self._cut)

    def has_body(self) -> None:
        """The request is whole."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self.begin()

    def _cut(self) -> None:
        if self._task is not None and not self._is_cut:
            self._is_cut = True
            self._task.cancel()

    async def _watch(self) -> None:
        """Cut the work when the client has left, or leaves unread what it is sent."""
        while not self._client.is_unread():
            try:
                async with asyncio.timeout(LOOK_S):
                    await self._left()
                    break
            except TimeoutError:
                continue
        self._cut()

    async def _left(self) -> None:
        """Returns when the client has gone."""
        while (await self._receive())["type"] != "http.disconnect":
            continue
