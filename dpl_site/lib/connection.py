"""One HTTP/1.1 connection to a server: a call written in one piece, its answer handed on as it comes. Async.

It lacks what a general client spends its time on: redirects, cookies, compression, methods other than POST.
Parsing is llhttp's, through httptools.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import cast

import httptools

from dpl_site.lib.http1 import Answer, Broken, CallFailed, Disconnected, NotHttp, Silent

MAX_HEAD_BYTES = 64 * 1024
SENT_TOGETHER = 64 * 1024
"""A body up to this size goes out with its head; copying a larger one would cost more than a second write."""


class Connection(asyncio.Protocol):
    """One connection, for one call after the other.

    Guarantee: it is given back through `on_free` only when its last answer was whole and the server keeps it open;
    else it is closed. An answer is read no faster than its reader reads.
    """

    def __init__(self, place: str, silence_s: float, on_free: Callable[[Connection], None]) -> None:
        """`place` names the server in messages; `silence_s` is how long a reader waits for more."""
        self.idle_since = 0.0
        self._place, self._silence_s, self._on_free = place, silence_s, on_free
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._answer: Answer | None = None
        self._calls = 0
        self._head_bytes = 0
        self._is_in_head = False
        self._is_paused = False
        self._ends_with_connection = False
        self._quiet_until = 0.0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_open(self) -> bool:
        """Whether it can take another call."""
        return self._transport is not None and not self._transport.is_closing()

    def send(self, head: bytes, body: bytes) -> Answer:
        """Write a call; its answer is to be waited for. Raises Disconnected when the connection is closed."""
        transport = self._transport
        if transport is None or transport.is_closing():
            raise self._closed(was_kept=self._calls > 0)
        self._calls += 1
        self._answer = answer = Answer(self)
        self._is_in_head, self._head_bytes, self._ends_with_connection = True, 0, False
        if len(body) <= SENT_TOGETHER:
            transport.write(head + body)
        else:
            transport.write(head)
            transport.write(body)
        return answer

    def close(self) -> None:
        """Close it at once."""
        if self._transport is not None:
            self._transport.abort()

    def abandon(self, answer: Answer) -> None:
        """The reader of an answer has left."""
        if answer is self._answer:
            self._answer = None
            self.close()

    def resume(self) -> None:
        """The reader has caught up."""
        if self._is_paused and self._transport is not None:
            self._is_paused = False
            self._transport.resume_reading()

    def expect(self) -> asyncio.Future[None]:
        """What is done when anything came, or nothing did for `silence_s`.

        One timer serves all waits: it looks again later when something came meanwhile.
        """
        self._quiet_until = self._loop.time() + self._silence_s
        if self._timer is None:
            self._timer = self._loop.call_at(self._quiet_until, self._look)
        return self._loop.create_future()

    def _look(self) -> None:
        self._timer = None
        if self._answer is None:
            return
        if self._loop.time() < self._quiet_until:
            self._timer = self._loop.call_at(self._quiet_until, self._look)
        else:
            self._fail(Silent(f"{self._place} said nothing for {self._silence_s:g} s"))

    # --- From the transport -------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is open."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Bytes came; what nobody asked for closes the connection."""
        answer = self._answer
        if answer is None:
            return self.close()
        self._quiet_until = self._loop.time() + self._silence_s
        if self._is_in_head:
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._fail(NotHttp(f"{self._place} answers, but not in HTTP; check the port"))
        if answer is self._answer and answer.took(len(data)):
            self._pause()
        if self._is_in_head and self._head_bytes > MAX_HEAD_BYTES:
            self._fail(NotHttp(f"the head of what {self._place} answers is longer than 64 KiB"))
        answer.wake()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is closed, by either side."""
        self._transport = None
        if self._timer is not None:
            self._timer.cancel()
        answer, self._answer = self._answer, None
        if answer is None:
            return
        if self._ends_with_connection and exc is None:
            answer.ended(None)
        else:
            answer.ended(self._closed(was_kept=self._calls > 1) if self._is_in_head else self._cut())
        answer.wake()

    # --- From the parser ----------------------------------------------------------------------------------

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header of the answer."""
        if self._answer is not None:
            self._answer.came(name, value)

    def on_headers_complete(self) -> None:
        """The head is whole; one of the hundreds is followed by the real one."""
        answer, status = self._answer, self._parser.get_status_code()
        if answer is None:
            return
        if status < 200:
            return answer.forget_head()
        self._is_in_head = False
        answer.status = status
        is_chunked = answer.header(b"transfer-encoding").lower().endswith("chunked")
        self._ends_with_connection = not is_chunked and not answer.header(b"content-length")

    def on_body(self, data: bytes) -> None:
        """A part of the body."""
        if self._answer is not None:
            self._answer.chunks.append(data)

    def on_message_complete(self) -> None:
        """The answer is whole: the connection is free, when it is to be kept."""
        answer = self._answer
        if answer is None or self._is_in_head:
            return
        self._answer = None
        answer.ended(None)
        transport = self._transport
        if transport is None:
            return
        self.resume()
        if self._parser.should_keep_alive() and not transport.get_write_buffer_size():
            self.idle_since = time.monotonic()
            self._on_free(self)
        else:
            transport.abort()

    def _pause(self) -> None:
        if not self._is_paused and self._transport is not None:
            self._is_paused = True
            self._transport.pause_reading()

    def _fail(self, error: CallFailed) -> None:
        answer, self._answer = self._answer, None
        if answer is not None:
            answer.ended(error)
            answer.wake()
        self.close()

    def _closed(self, *, was_kept: bool) -> Disconnected:
        text = f"{self._place} closed the connection without an answer; look at what the engine logs"
        return Disconnected(text, was_kept=was_kept)

    def _cut(self) -> Broken:
        return Broken("The connection broke in the middle of the engine's answer.")
