"""How many requests run at once, and in which order the others wait: first come, first served."""

from __future__ import annotations

import asyncio
import time
from collections import deque


class QueueFullError(Exception):
    """As many requests wait as may."""


class Slots:
    """A fixed number of places. For one event loop.

    Guarantee: a place is held by one request at a time, waiters get theirs in the order in which they came,
    and one that leaves while it waits, or at the very moment it is called, loses no place for the others.
    """

    def __init__(self, count: int, max_waiting: int | None) -> None:
        self.count = count
        self.busy: set[int] = set()
        self.high_water = 0
        self._busy_seconds = 0.0
        self._changed_at = time.monotonic()
        self._free = list(range(count - 1, -1, -1))
        self._max_waiting = max_waiting
        self._waiting: deque[asyncio.Future[int]] = deque()

    @property
    def waiting(self) -> int:
        """How many wait for a place."""
        return len(self._waiting)

    @property
    def busy_seconds(self) -> float:
        """How long places were held, all of them together: over a time, the mean number in flight."""
        self._count_up()
        return self._busy_seconds

    def take(self) -> int | None:
        """A place at once, None when one must wait for it."""
        if not self._free:
            return None
        return self._hold(self._free.pop())

    async def wait(self) -> int:
        """A place, in turn. QueueFullError when too many wait already."""
        if self._max_waiting is not None and len(self._waiting) >= self._max_waiting:
            raise QueueFullError
        called: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting.append(called)
        try:
            return await called
        except asyncio.CancelledError:
            if called.done() and not called.cancelled():
                self.give(called.result())
            elif called in self._waiting:
                self._waiting.remove(called)
            raise

    def give(self, place: int) -> None:
        """Give a place back; the next who waits, and has not left at this moment, gets it."""
        self._count_up()
        self.busy.discard(place)
        while self._waiting:
            called = self._waiting.popleft()
            if not called.done():
                called.set_result(self._hold(place))
                return
        self._free.append(place)

    def _count_up(self) -> None:
        now = time.monotonic()
        self._busy_seconds += len(self.busy) * (now - self._changed_at)
        self._changed_at = now

    def _hold(self, place: int) -> int:
        self._count_up()
        self.busy.add(place)
        self.high_water = max(self.high_water, len(self.busy))
        return place
