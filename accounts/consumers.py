"""What every watching socket shares: who may watch, one sender, and that nobody is waited for. Async."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from channels.generic.websocket import AsyncWebsocketConsumer

from accounts.authentication import Principal, authenticate_scope
from dpl_site.lib.events import FeedBroken

INTERNAL_ERROR = 1011
TRY_AGAIN_LATER = 1013
UNAUTHENTICATED = 4401
FORBIDDEN = 4403
NOT_FOUND = 4404
SEND_S = 10.0
"""Who takes no message for so long is dropped."""


class WatchConsumer(AsyncWebsocketConsumer):  # type: ignore[misc]  # channels is untyped
    """One watcher of something that has messages. What the client sends is ignored."""

    _task: asyncio.Task[None] | None = None

    def messages(self) -> AsyncGenerator[bytes, None]:
        """What is sent, until what is watched is gone. Raises FeedBroken."""
        raise TypeError(f"{type(self).__name__} says nothing")

    async def refusal(self, principal: Principal) -> int:
        """The code to close with when this person may not watch, else 0."""
        return 0 if principal.may("read") else FORBIDDEN

    async def connect(self) -> None:
        """Accept, then close with 4401 (nobody), 4403 or 4404 (may not watch), or begin to send."""
        await self.accept()
        principal = await authenticate_scope(self.scope)
        code = UNAUTHENTICATED if principal is None else await self.refusal(principal)
        if code:
            await self.close(code)
        else:
            self._task = asyncio.get_running_loop().create_task(self._send_all())

    async def disconnect(self, code: int) -> None:
        """Watch no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Nothing is expected from the client."""

    async def _send_all(self) -> None:
        """Send until what is watched is gone, the feed breaks, or the client no longer takes what is sent."""
        code = NOT_FOUND
        try:
            async with aclosing(self.messages()) as messages:
                async for message in messages:
                    async with asyncio.timeout(SEND_S):
                        await self.send(text_data=message.decode())
        except FeedBroken:
            code = INTERNAL_ERROR
        except TimeoutError:
            code = TRY_AGAIN_LATER
        await self.close(code)
