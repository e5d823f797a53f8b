"""One tick of the alerts: look at the fleet, judge, write the steps. The controller's duty, and the watch's."""

from __future__ import annotations

import logging

from django.conf import settings

from alerts import metrics, selectors, services
from alerts.fleet import FleetReader
from alerts.judging import Step, judge
from alerts.past import refill
from alerts.samples import Samples

FORGET_EVERY_MS = 60_000
LONGEST_WINDOW_MS = 3_600_000
STALE_TICKS = 5
"""A value is of now for so many ticks."""
LEAST_STALE_MS = 10_000

logger = logging.getLogger(__name__)


class Evaluator:
    """Judges all rules of one process: those of the controller, or (`watch`) those about the controller itself.

    Guarantee: every step of an alert is written once, with its event, in the caller's transaction; what stands
    is read from rows each time, so any process may go on where another was killed. Its windows are memory
    only: the first step fills them from history, and one that has none waits until it has filled.
    """

    def __init__(self, *, is_watch: bool = False) -> None:
        self._is_watch = is_watch
        self._reader = FleetReader()
        self._samples = Samples()
        self._forget_at_ms = 0
        self._is_refilled = False
        self._said_full = False

    def step(self) -> list[Step]:
        """Do it once; what was written."""
        rules = selectors.rules_of(is_watch=self._is_watch)
        standing = selectors.standing_alerts(is_watch=self._is_watch)
        if not rules and not standing:
            return []
        if not self._is_refilled:
            refill(self._samples, rules)
            self._is_refilled = True
        look = self._reader.look({ruled.spec.metric for ruled in rules})
        stale_ms = max(LEAST_STALE_MS, round(settings.DPL_POLL_INTERVAL_S * STALE_TICKS * 1000))
        steps = judge(rules, look, standing, self._samples, stale_ms=stale_ms)
        steps = self._within_bounds(steps, len(standing))
        services.record_steps(steps=steps, look=look)
        if metrics.GPUS_LOST in look.readings or any(
            ruled.spec.metric == metrics.GPUS_LOST for ruled in rules
        ):
            services.record_gpus(look=look)
        if look.at_ms >= self._forget_at_ms:
            self._samples.forget(before_ms=look.at_ms - LONGEST_WINDOW_MS)
            self._forget_at_ms = look.at_ms + FORGET_EVERY_MS
        return steps

    def _within_bounds(self, steps: list[Step], standing: int) -> list[Step]:
        """No more new alerts than there is room for; what has ended makes room."""
        begun = [step for step in steps if step.alert_id is None]
        room = max(0, settings.DPL_ALERTS_MOST - standing)
        if len(begun) <= room:
            self._said_full = False
            return steps
        if not self._said_full:
            self._said_full = True
            logger.error(
                "%d alerts stand, DPL_ALERTS_MOST: %d more are not kept. See to a rule that fires everywhere.",
                standing,
                len(begun) - room,
                extra={"action": "alerts_full"},
            )
        left_out = set(map(id, begun[room:]))
        return [step for step in steps if id(step) not in left_out]
