"""Decides how often a loop says that something is wrong."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

SAY_AGAIN_S = 60.0

logger = logging.getLogger(__name__)


class Complaints:
    """Says each trouble once when it begins, again every minute while it lasts, and once when it is over."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._said: dict[str, float] = {}

    def say(self, subject: str, trouble: str, error: BaseException | None = None) -> None:
        """Log a trouble, unless it was logged lately."""
        now = self._clock()
        if now - self._said.get(subject, float("-inf")) >= SAY_AGAIN_S:
            self._said[subject] = now
            logger.error("%s: %s", subject, trouble, exc_info=error, extra={"action": "trouble"})

    def settled(self, subject: str) -> None:
        """The trouble is over, if there was any."""
        if self._said.pop(subject, None) is not None:
            logger.warning("%s: all is well again", subject, extra={"action": "trouble_over"})
