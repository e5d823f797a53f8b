"""Which clocks the agent trusts: one that goes on while the machine sleeps, and the wall's for showing."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], float]


def steady() -> float:
    """Seconds since some fixed moment; never set back, and the machine's sleep counts as time passed.

    `time.monotonic` stands still during sleep on Linux and macOS, so a lock of ten minutes taken before the
    lid closed would still stand the next morning.
    """
    if sys.platform == "linux":
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    elif sys.platform == "darwin":
        # Here `time.monotonic` reads another clock than this one, which macOS documents as going on asleep.
        return time.clock_gettime(time.CLOCK_MONOTONIC)
    else:
        return time.monotonic()


def iso(epoch_s: float) -> str:
    """An instant, given in epoch seconds, as ISO 8601 in UTC with milliseconds and `Z`."""
    return datetime.fromtimestamp(epoch_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
