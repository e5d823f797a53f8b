"""Readings that wait for the server: how many are kept, which are dropped, and which go next."""

from __future__ import annotations

import threading
from collections import deque

MOST_READINGS = 300  # ten minutes at the usual two seconds
MOST_BYTES = 8 * 1024 * 1024
LARGEST_CALL = 512 * 1024
MOST_PER_CALL = 60


class Outbox:
    """Readings as JSON, oldest first. Any thread may put, one takes.

    Guarantee: at most MOST_READINGS and MOST_BYTES are kept, the oldest go first and are counted, and a batch
    stays until it is confirmed, so that a call that fails loses nothing.
    """

    def __init__(self, most: int = MOST_READINGS, most_bytes: int = MOST_BYTES) -> None:
        self._most, self._most_bytes = most, most_bytes
        self._readings: deque[tuple[int, bytes]] = deque()
        self._bytes = 0
        self._number = 0
        self._per_call = MOST_PER_CALL
        self._changed = threading.Condition()
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._readings)

    def put(self, reading: bytes) -> None:
        """Keep a reading; drop the oldest ones where there is no room."""
        with self._changed:
            self._number += 1
            self._readings.append((self._number, reading))
            self._bytes += len(reading)
            while len(self._readings) > self._most or (
                self._bytes > self._most_bytes and len(self._readings) > 1
            ):
                self._drop_first()
                self.dropped += 1
            self._changed.notify()

    def wait(self, timeout_s: float) -> bool:
        """Wait until there is something to send; False when there is still nothing."""
        with self._changed:
            return self._changed.wait_for(lambda: bool(self._readings), timeout_s)

    def batch(self) -> tuple[int, list[bytes]]:
        """The next readings for one call, and the number that confirms them."""
        with self._changed:
            chosen: list[bytes] = []
            last = size = 0
            for number, reading in self._readings:
                if chosen and (len(chosen) >= self._per_call or size + len(reading) > LARGEST_CALL):
                    break
                chosen.append(reading)
                last, size = number, size + len(reading)
            return last, chosen

    def confirm(self, last: int) -> None:
        """What went up to this number has arrived."""
        with self._changed:
            while self._readings and self._readings[0][0] <= last:
                self._drop_first()
            self._per_call = min(MOST_PER_CALL, self._per_call * 2)

    def clear(self) -> None:
        """Let everything go: nobody wants it."""
        with self._changed:
            self._readings.clear()
            self._bytes = 0

    def too_large(self) -> None:
        """The server took the last batch for too large: send fewer, and let one go that is too large alone."""
        with self._changed:
            if self._per_call > 1:
                self._per_call //= 2
            elif self._readings:
                self._drop_first()
                self.dropped += 1

    def _drop_first(self) -> None:
        self._bytes -= len(self._readings.popleft()[1])
