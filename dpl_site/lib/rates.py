"""How often somebody may come to an open door of this process: fixed windows, counted by whoever comes."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable

MOST_CALLERS = 10_000
"""Callers that are counted at once; with more, the oldest count is forgotten."""


class Rate:
    """At most `most` visits of one caller in each window of `per_s` seconds. Safe between threads."""

    def __init__(self, per_s: float = 60.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_s = per_s
        self._clock = clock
        self._counts: dict[str, tuple[float, int]] = {}
        self._lock = threading.Lock()

    def visit(self, caller: str, most: int) -> int:
        """Count a visit: 0 when it is within bounds, else in how many seconds the next one is."""
        now = self._clock()
        with self._lock:
            began, count = self._counts.get(caller, (now, 0))
            if now - began >= self._per_s:
                self._counts.pop(caller, None)
                began, count = now, 0
            if count >= most:
                return max(1, math.ceil(began + self._per_s - now))
            while caller not in self._counts and len(self._counts) >= MOST_CALLERS:
                del self._counts[next(iter(self._counts))]
            self._counts[caller] = (began, count + 1)
            return 0

    def clear(self) -> None:
        """Forget all."""
        with self._lock:
            self._counts.clear()
