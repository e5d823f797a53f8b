"""Signals as bytes in a pipe, so that one `select` waits for all that can happen and none slips by."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@contextlib.contextmanager
def signals_as_bytes() -> Iterator[int]:
    """The descriptor where each stop signal and each SIGCHLD appears as a byte; in the main thread only."""
    read, write = os.pipe()
    os.set_blocking(read, False)
    os.set_blocking(write, False)
    numbers = [signal.SIGCHLD, *STOP_SIGNALS]
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:  # nohup: it is to outlive its terminal
        numbers.remove(signal.SIGHUP)
    before = {number: signal.signal(number, lambda *_: None) for number in numbers}
    wakeup = signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    try:
        yield read
    finally:
        signal.set_wakeup_fd(wakeup)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(read)
        os.close(write)


def stop_signals(descriptor: int) -> list[signal.Signals]:
    """The stop signals that arrived since the last time, in order."""
    return [signal.Signals(number) for number in os.read(descriptor, 4096) if number in STOP_SIGNALS]
