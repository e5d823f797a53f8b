"""The latest reading of each node, as long as it still tells of now; read in one query."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import cast

import orjson
from django.conf import settings

from dpl_site.lib.clock import utc_now
from nodes.models import Node, NodeStatus
from nodes.payloads import Status
from nodes.selectors import live_nodes

STALE_AFTER_S = 30.0
"""A reading that is older, and older than five ticks, tells of another time: nobody has asked for long."""


@dataclass(frozen=True, slots=True)
class Latest:
    """A live node with what is known of it; `reading` is None where its agent tells nothing now."""

    node: Node
    status: NodeStatus | None
    reading: Status | None
    age_s: float | None


def latest() -> list[Latest]:
    """Every live node by id."""
    now = utc_now()
    rows = live_nodes().select_related("status").defer("agent_token").order_by("id")
    return [_latest(node, getattr(node, "status", None), now) for node in rows]


def is_current(sampled_at: datetime, now: datetime) -> bool:
    """Whether a reading of then still tells of now."""
    return now - sampled_at <= timedelta(seconds=max(STALE_AFTER_S, 5 * settings.DPL_POLL_INTERVAL_S))


def _latest(node: Node, status: NodeStatus | None, now: datetime) -> Latest:
    at = status.sampled_at if status else None
    if status is None or at is None:
        return Latest(node, status, None, None)
    holds = bool(status.reading) and not status.agent_error and is_current(at, now)
    reading = cast(Status, orjson.loads(status.reading)) if holds else None
    return Latest(node, status, reading, max(0.0, (now - at).total_seconds()))
