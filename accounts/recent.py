"""A small memory of recent answers: bounded in size and age."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

V = TypeVar("V")


class Recent(Generic[V]):
    """Answers by key, each for `ttl_s` seconds at most; the oldest make room. Safe between threads."""

    def __init__(self, *, ttl_s: float, capacity: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._ttl_s = ttl_s
        self._capacity = capacity
        self._clock = clock
        self._entries: dict[str, tuple[float, V]] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: str) -> V | None:
        """The answer for a key, None when there is none that is young enough."""
        entry = self._entries.get(key)
        return entry[1] if entry is not None and self._clock() < entry[0] else None

    def put(self, key: str, value: V, *, at_most_s: float = float("inf")) -> None:
        """Remember an answer, for `at_most_s` seconds if that is sooner."""
        with self._lock:
            self._entries.pop(key, None)
            while len(self._entries) >= self._capacity:
                del self._entries[next(iter(self._entries))]
            self._entries[key] = (self._clock() + min(self._ttl_s, at_most_s), value)

    def forget(self, key: str) -> None:
        """Drop one answer."""
        with self._lock:
            self._entries.pop(key, None)

    def clear(self) -> None:
        """Drop all."""
        with self._lock:
            self._entries.clear()
