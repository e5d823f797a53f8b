"""Signals, and wishes of other threads, as something that a loop waits for."""

from __future__ import annotations

import contextlib
import os
import select
import signal
from collections.abc import Iterable, Iterator

STOP_SIGNALS = frozenset({signal.SIGTERM, signal.SIGINT})


class Bell:
    """Rings when a signal comes. A pipe rather than a threading.Event, whose lock a signal handler may meet held."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        os.set_blocking(self._write, False)

    @contextlib.contextmanager
    def hung(self, signals: Iterable[int]) -> Iterator[Bell]:
        """Ring for these signals while the block lasts. In the main thread only."""
        before = {number: signal.signal(number, _noted) for number in signals}
        wakeup = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        try:
            yield self
        finally:
            signal.set_wakeup_fd(wakeup)
            for number, handler in before.items():
                signal.signal(number, handler)

    def ring(self, number: int) -> None:
        """Ring as if this signal had come; from any thread."""
        with contextlib.suppress(BlockingIOError):  # it rings already
            os.write(self._write, bytes([number]))

    def wait(self, timeout_s: float) -> set[int]:
        """The signals that came, at once or within the time."""
        poll = select.poll()
        poll.register(self._read, select.POLLIN)
        if not poll.poll(max(0, int(timeout_s * 1000))):
            return set()
        return set(os.read(self._read, 4096))

    def silence_here(self) -> None:
        """In a forked child: it is the parent's bell; signals mean again what they mean to any process."""
        signal.set_wakeup_fd(-1)
        for number in {*STOP_SIGNALS, signal.SIGCHLD}:
            signal.signal(number, signal.SIG_DFL)
        self.close()

    def close(self) -> None:
        """Let go of the pipe."""
        os.close(self._read)
        os.close(self._write)


def _noted(number: int, frame: object) -> None:
    """The wake-up descriptor has told already."""
