"""What a connection may cost this server: how long a request's head may take and be, how long an answer lies unread.

uvicorn bounds none of these: a client that sends half a head, or reads one byte a second, would be kept for ever.
"""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from dpl_site.lib.refusals import Surface, error_body

HEAD_S = 20.0
"""How long a client may take to send the head of a request; after an answer uvicorn waits 5 s for the next."""
MAX_HEAD_BYTES = 64 * 1024
UNREAD_S = 60.0
"""How long what was sent may lie unread, once more of it waits than the kernel takes."""


class BoundedConnection(HttpToolsProtocol):
    """uvicorn's own protocol with the bounds that it lacks.

    Guarantee: no connection outlives HEAD_S without a request, or UNREAD_S without its client taking what it was
    sent; whoever answers it sees that as a client that left.
    """

    _head_timer: asyncio.TimerHandle | None = None
    _head_due = float("inf")
    """Until when a head must be whole; endless while none is waited for."""
    _unread_timer: asyncio.TimerHandle | None = None
    _is_in_head = False
    _head_bytes = 0

    def connection_made(self, transport: Any) -> None:
        """A client is there, and has HEAD_S for its first request."""
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        if self._head_timer is not None:
            self._head_timer.cancel()
        self._was_read()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bytes of a request."""
        super().data_received(data)
        if self._is_in_head:
            self._await_head()
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self._refuse(431, "The request's head is longer than 64 KiB.")

    def on_message_begin(self) -> None:
        """The first byte of a head."""
        self._is_in_head, self._head_bytes = True, 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self._is_in_head, self._head_due = False, float("inf")
        super().on_headers_complete()

    def pause_writing(self) -> None:
        """The client reads more slowly than it is written to."""
        super().pause_writing()
        if self._unread_timer is None:
            self._unread_timer = self.loop.call_later(UNREAD_S, self.transport.abort)

    def resume_writing(self) -> None:
        """It has read enough."""
        self._was_read()
        super().resume_writing()

    def _await_head(self) -> None:
        """A head must be whole in HEAD_S. One timer looks again and again: one for each request would cost more."""
        self._head_due = min(self._head_due, self.loop.time() + HEAD_S)
        if self._head_timer is None:
            self._head_timer = self.loop.call_at(self._head_due, self._look_for_head)

    def _was_read(self) -> None:
        if self._unread_timer is not None:
            self._unread_timer.cancel()
            self._unread_timer = None

    def _look_for_head(self) -> None:
        now = self.loop.time()
        if self._head_due <= now:
            self._head_timer = None
            self._refuse(408, f"The request's head was not whole after {HEAD_S:g} s. Send it faster.")
        else:
            self._head_timer = self.loop.call_at(min(self._head_due, now + HEAD_S), self._look_for_head)

    def _refuse(self, status: int, message: str) -> None:
        """Close the connection; with words when a request has begun and none is being answered."""
        if self.transport.is_closing():
            return
        if self._is_in_head and (self.cycle is None or self.cycle.response_complete):
            body = orjson.dumps(error_body(Surface.DPL, message, "bad_head", status))
            head = b"content-type: application/json\r\nconnection: close\r\ncontent-length: %d\r\n\r\n"
            self.transport.write(STATUS_LINE[status] + head % len(body) + body)
            self.transport.close()
        else:
            self.transport.abort()
