"""The clock of one exchange with an engine: until when the next thing must come, and what to say when it did not."""

from __future__ import annotations

import asyncio

from dpl_site.lib import http
from dpl_site.lib.http import Timeouts
from inference.dialects.base import Call


class Watch:
    """The clock of one generation: what has passed, and until when the next thing must come."""

    def __init__(self, timeouts: Timeouts) -> None:
        self._loop = asyncio.get_running_loop()
        self._timeouts = timeouts
        self._started = self._loop.time()
        self._end = self._started + timeouts.total_s
        self.timer = asyncio.timeout_at(self._end)
        self.connecting = http.timeout(connect_s=timeouts.connect_s, total_s=None)
        self.what = f"The answer was not whole after {timeouts.total_s:g} s."

    def elapsed_ms(self) -> int:
        """Milliseconds since the generation began."""
        return round((self._loop.time() - self._started) * 1000)

    def expect_first_byte(self, call: Call) -> None:
        """A call goes out: of a stream, the first byte must come in time."""
        if call.is_streaming:
            self._expect(self._timeouts.first_byte_s, "Nothing came from the engine for")

    def expect_more(self) -> None:
        """Bytes came: the next ones must come in time."""
        self._expect(self._timeouts.idle_s, "The engine fell silent within its answer, for")

    def stop(self) -> None:
        """The answer is whole: no limit is left to pass."""
        self.timer.reschedule(None)

    def _expect(self, within_s: float, what: str) -> None:
        until = self._loop.time() + within_s
        if until < self._end:
            self.what = f"{what} {within_s:g} s."
        else:
            self.what = f"The answer was not whole after {self._timeouts.total_s:g} s."
        self.timer.reschedule(min(until, self._end))
