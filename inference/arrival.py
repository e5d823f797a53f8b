"""How the door gets a request's body: within a size and a time, and what is left of it when the answer comes early.

Async.
"""

from __future__ import annotations

import asyncio

from django.conf import settings

from dpl_site.lib.answering import Receive, Scope, header
from dpl_site.lib.refusals import Refused

BODY_S = 60.0
"""How long a client may take to send its request."""
FORGET_S = 10.0
"""How long the rest of a refused body is read and forgotten.

A connection that is closed while its client still sends is reset, and the answer is lost on its way.
"""


class ClientGone(Exception):
    """The client left before its answer was whole."""


class Room:
    """How many bytes of bodies one process keeps at once: many large ones together must not take all its memory."""

    def __init__(self, most_bytes: int) -> None:
        self._left = most_bytes

    def take(self, size: int) -> None:
        """Take room for so many bytes. Raises Refused (503)."""
        if size > self._left:
            text = "This server holds as many large requests as it may (DPL_MAX_REQUESTS_MB). Try again in a moment."
            raise Refused(text, code="busy", status=503)
        self._left -= size

    def give(self, size: int) -> None:
        """They are gone."""
        self._left += size


class RequestBody:
    """The body of one request. Its bytes take room until it is let go of."""

    def __init__(self, scope: Scope, receive: Receive, room: Room) -> None:
        self._scope, self._receive, self._room = scope, receive, room
        self._taken = 0
        self.is_over = False
        """Whether all of it has come."""

    async def read(self) -> bytes:
        """All of it. Raises Refused (413, 503) and ClientGone."""
        most = settings.DPL_MAX_REQUEST_MB * 1024 * 1024
        announced = header(self._scope, b"content-length")
        if announced.isdigit() and int(announced) > most:
            raise _too_large()
        pieces: list[bytes] = []
        size = 0
        while not self.is_over:
            pieces.append(await self._piece())
            size += len(pieces[-1])
            if size > most:
                raise _too_large()
            self._room.take(len(pieces[-1]))
            self._taken = size
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def let_go(self) -> None:
        """The request is over."""
        self._room.give(self._taken)
        self._taken = 0

    async def forget(self) -> None:
        """Read what is left and drop it, for FORGET_S at most."""
        try:
            async with asyncio.timeout(FORGET_S):
                while not self.is_over:
                    await self._piece()
        except (TimeoutError, ClientGone):
            self.is_over = True

    async def _piece(self) -> bytes:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        self.is_over = not message.get("more_body")
        body: bytes = message.get("body", b"")
        return body


def too_slow() -> Refused:
    """What is said to a client that takes longer than BODY_S."""
    text = f"The request was not whole after {BODY_S:g} s. Send it faster."
    return Refused(text, code="too_slow", status=408)


def _too_large() -> Refused:
    text = f"The request is larger than {settings.DPL_MAX_REQUEST_MB} MiB (DPL_MAX_REQUEST_MB)."
    return Refused(text, code="too_large", status=413)
