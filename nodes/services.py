"""Writes what was seen of nodes: the only writer of NodeStatus, locks' versions aside."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import F, Q

from dpl_site.lib.clock import utc_now
from dpl_site.lib.db import now_ms
from nodes import history, news
from nodes.answers import moment
from nodes.mirror import AgentSeen
from nodes.models import Installation, NodeLock, NodeStatus
from nodes.payloads import AgentLock, ForeignLock
from nodes.states import LockMirror, NodeState, Seen, judge

TICK = "tick"
"""The object of the event that tells of fresh readings; the other events of the cluster name a node."""
NOT_ASKED = "it has not been asked yet"
_SAME_END_MS = 3_000
"""An end that moved by less is the same end: both clocks are read to half a second."""
_WRITTEN = (
    *("state", "reason", "since", "sampled_at", "reading", "agent_error", "clock_skew_s"),
    *("foreign_lock", "version"),
)


@dataclass(frozen=True, slots=True)
class NodeSeen:
    """What is known of one node after a look at some of it.

    `agent` is what its agent answered, None when it was not asked now; `has_agent` is whether it has one.
    `engines` are all of its engines, asked now or before; `is_changed`: something about them changed.
    """

    node_id: int
    has_agent: bool
    agent: AgentSeen | None
    engines: tuple[Seen, ...]
    is_changed: bool = False


def installation_id() -> UUID:
    """The identity that agents know this installation by; made when it is first asked for."""
    first = Installation.objects.order_by("created_at", "id")
    found = first.first()
    if found is None:
        Installation.objects.create()
        # Two processes may have made one each at the same moment: both take the first.
        found = first[0]
    return found.id


def node_changed(*, node_id: int, payload: str = "") -> None:
    """News of one node that changed by other means than a look at it; its version rises."""
    rows = NodeStatus.objects.filter(node_id=node_id)
    rows.update(version=F("version") + 1)
    version = rows.values_list("version", flat=True).first() or 0
    news.publish(topic=news.CLUSTER, object_id=node_id, version=version, payload=payload)


def record_nodes(*, seen: Sequence[NodeSeen]) -> set[int]:
    """Write the readings, states and mirrored locks; the ids of nodes whose state, reason, engines or lock changed.

    Publishes one event per changed node and one for the tick. `since` moves only when the state changes.
    """
    with transaction.atomic():
        ids = [one.node_id for one in seen]
        locked = NodeStatus.objects.select_for_update().filter(node_id__in=ids).order_by("node_id")
        rows = {status.node_id: status for status in locked}
        now, at = now_ms(), utc_now()
        changed: dict[int, int] = {}
        for one in seen:
            status = rows.setdefault(one.node_id, NodeStatus(node_id=one.node_id, version=0))
            if _apply(status, one, now, at) or one.is_changed:
                status.version += 1
                changed[one.node_id] = status.version
        NodeStatus.objects.bulk_create(
            [rows[node_id] for node_id in sorted(rows)],
            update_conflicts=True,
            unique_fields=["node"],
            update_fields=_WRITTEN,
        )
        history.record_readings(told=_told(seen, now, at))
        mirrored = _record_mirrors(seen)
        _publish(changed, mirrored)
        return set(changed) | mirrored


def forget_nodes(*, node_ids: Collection[int], reason: str) -> None:
    """Back to unknown, because what is known was of another address."""
    NodeStatus.objects.filter(node_id__in=node_ids).update(
        state=NodeState.UNKNOWN,
        reason=reason,
        since=utc_now(),
        sampled_at=None,
        reading="",
        agent_error="",
        clock_skew_s=None,
        foreign_lock="",
    )


def _told(seen: Sequence[NodeSeen], now: int, at: datetime) -> list[history.Told]:
    """What the agents told, each at its moment by the database's clock: `now` and `at` are the same moment."""
    return [
        history.Told(one.node_id, now - max(0, int((at - one.agent.at).total_seconds() * 1000)), status)
        for one in seen
        if one.agent is not None and (status := one.agent.reading and one.agent.reading.status)
    ]


def _apply(status: NodeStatus, one: NodeSeen, now: int, at: datetime) -> bool:
    """Put what was seen into the row; whether anything changed that is not a measurement."""
    before = (status.state, status.reason, status.agent_error, status.foreign_lock)
    if not one.has_agent:
        status.reading, status.sampled_at, status.clock_skew_s = "", None, None
        status.agent_error = status.foreign_lock = ""
    elif one.agent is not None:
        status.agent_error = one.agent.error[:300]
        _take_reading(status, one.agent, now)
    problem = status.agent_error or ("" if status.reading else NOT_ASKED)
    agent = Seen("agent", not problem, problem) if one.has_agent else None
    judgement = judge(agent, list(one.engines))
    if status.state != judgement.state:
        status.state, status.since = judgement.state.value, at
    status.reason = judgement.reason
    return before != (status.state, status.reason, status.agent_error, status.foreign_lock)


def _take_reading(status: NodeStatus, agent: AgentSeen, now: int) -> None:
    """The fresh reading; while the agent is silent the last one stays, and another's lock until its end."""
    if agent.reading is not None:
        status.reading = json.dumps(agent.reading.status, separators=(",", ":"))
        status.sampled_at = agent.at
        status.clock_skew_s = agent.reading.clock_skew_s
        status.foreign_lock = _foreign(status.foreign_lock, agent, now)
    elif status.foreign_lock and json.loads(status.foreign_lock)["expires_ms"] <= now:
        status.foreign_lock = ""


def _foreign(kept: str, agent: AgentSeen, now: int) -> str:
    """The foreign lock as it is kept, its end by the database's clock; the old text while nothing changed."""
    if agent.foreign is None or agent.reading is None:
        return ""
    fresh: ForeignLock = {**agent.foreign, "expires_ms": _end_ms(agent.foreign, agent, now)}
    if kept:
        old: dict[str, Any] = json.loads(kept)
        has_same_end = abs(old["expires_ms"] - fresh["expires_ms"]) < _SAME_END_MS
        if has_same_end and all(old.get(key) == fresh[key] for key in ("id", "owner", "reason")):
            return kept
    return json.dumps(fresh)


def _end_ms(lock: AgentLock, agent: AgentSeen, now: int) -> int:
    """When an agent's lock ends by our clock; one without an end is taken to last until the next look or two."""
    end = moment(lock["expires_at"])
    skew_s = agent.reading.clock_skew_s if agent.reading else None
    if end is None:
        return now + 60_000
    return now + int((end.timestamp() - agent.at.timestamp() - (skew_s or 0.0)) * 1000)


def _record_mirrors(seen: Sequence[NodeSeen]) -> set[int]:
    """Write where our locks stand now; the nodes for which that changed."""
    told = {one.agent.lock_id: one.agent.mirror for one in seen if one.agent and one.agent.lock_id}
    alone = [one.node_id for one in seen if not one.has_agent]
    changed = set()
    for lock in NodeLock.objects.filter(Q(id__in=told) | Q(node_id__in=alone)):
        mirror = told.get(str(lock.id), LockMirror.UNMIRRORED).value
        if lock.mirror != mirror and NodeLock.objects.filter(id=lock.id).update(mirror=mirror):
            changed.add(lock.node_id)
    return changed


def _publish(changed: dict[int, int], mirrored: set[int]) -> None:
    for node_id in sorted(set(changed) | mirrored):
        news.publish(topic=news.CLUSTER, object_id=node_id, version=changed.get(node_id, 0))
    news.publish(topic=news.CLUSTER, object_id=TICK)
