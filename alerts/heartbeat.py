"""The heartbeat out: keeps what came of the last calls, and says when they begin to fail and work again."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from alerts.models import HeartbeatOut
from dpl_site.lib.db import now_ms

ONE = 1
"""There is one row."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Beat:
    """What came of one call: why it failed, empty when it did not."""

    error: str


def record_beat(beat: Beat) -> None:
    """Keep it; the log has the first failure of a row and its end."""
    now = now_ms()
    row = HeartbeatOut.objects.filter(id=ONE).first() or HeartbeatOut(id=ONE, at_ms=now)
    if beat.error and row.failing_since_ms is None:
        logger.error(
            "the heartbeat to DPL_HEARTBEAT_URL failed: %s", beat.error, extra={"action": "heartbeat"}
        )
    elif not beat.error and row.failing_since_ms is not None:
        logger.warning("the heartbeat to DPL_HEARTBEAT_URL works again", extra={"action": "heartbeat"})
    row.at_ms, row.error = now, beat.error[:300]
    if beat.error:
        row.failing_since_ms = row.failing_since_ms or now
    else:
        row.failing_since_ms, row.ok_ms = None, now
    row.save()


def last_beat() -> HeartbeatOut | None:
    """What came of the last call, None when there was none."""
    return HeartbeatOut.objects.filter(id=ONE).first()
