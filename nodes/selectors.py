"""Reads of nodes: which lock stands where, and which agents are to be asked."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from typing import TypedDict

from django.db.models import QuerySet

from dpl_site.lib.clock import iso_ms
from dpl_site.lib.db import NowMs, now_ms
from dpl_site.lib.refusals import Refused
from nodes.mirror import AgentTarget, OurLock
from nodes.models import Node, NodeLock, NodeStatus
from nodes.payloads import ForeignLock

AGENT = "agent"
"""Who claims a node whose lock was put on the agent by somebody else."""


class LockView(TypedDict):
    """A lock as clients see it; `by` is person, job or agent."""

    owner: str
    reason: str
    expires_at: str | None
    by: str


@dataclass(frozen=True, slots=True)
class StandingLock:
    """The lock that stands on a node. `lock_id` is empty for one that is not in our own rows."""

    node_id: int
    by: str
    owner: str
    reason: str
    expires_ms: int
    lock_id: str = ""
    user_id: int | None = None
    job_id: str = ""

    def view(self) -> LockView:
        """The lock as clients see it."""
        until = iso_ms(self.expires_ms)
        return {"owner": self.owner, "reason": self.reason, "expires_at": until, "by": self.by}


def live_nodes() -> QuerySet[Node]:
    """The nodes that are not archived."""
    return Node.objects.filter(archived_at__isnull=True)


def named_node(reference: str) -> Node:
    """The live node with this name, or else this id. Raises Refused (404)."""
    node = live_nodes().filter(name=reference).first()
    if node is None and reference.isascii() and reference.isdigit():
        node = live_nodes().filter(id=int(reference[:18])).first()
    if node is None:
        raise Refused(f"There is no node {reference}. `node list` shows them.", status=404)
    return node


def standing_locks(*, node_ids: Collection[int] | None = None) -> dict[int, StandingLock]:
    """Node id → the lock that stands there now.

    One that somebody else put on the agent comes before ours: it is what keeps others off the machine.
    """
    ours = NodeLock.objects.filter(expires_ms__gt=NowMs())
    foreign = NodeStatus.objects.exclude(foreign_lock="")
    if node_ids is not None:
        ours, foreign = ours.filter(node_id__in=node_ids), foreign.filter(node_id__in=node_ids)
    found = {lock.node_id: standing_of(lock) for lock in ours}
    kept = foreign.values_list("node_id", "foreign_lock")
    now = now_ms() if kept else 0
    for node_id, text in kept:
        theirs = _foreign_of(node_id, json.loads(text))
        if theirs.expires_ms > now:
            found[node_id] = theirs
    return found


def standing_lock(*, node_id: int) -> StandingLock | None:
    """The lock that stands on one node now."""
    return standing_locks(node_ids=[node_id]).get(node_id)


def standing_of(lock: NodeLock) -> StandingLock:
    """One of our own rows as a standing lock."""
    return StandingLock(
        node_id=lock.node_id,
        by=lock.by,
        owner=lock.owner,
        reason=lock.reason,
        expires_ms=lock.expires_ms,
        lock_id=str(lock.id),
        user_id=lock.user_id,
        job_id=lock.job_id,
    )


def agent_targets(*, node_ids: Collection[int] | None = None) -> list[AgentTarget]:
    """The agents of live nodes (of some of them), each with the lock that it should hold for us."""
    nodes = live_nodes().exclude(monitor_base_url="")
    if node_ids is not None:
        nodes = nodes.filter(id__in=node_ids)
    now = now_ms()
    locks = {lock.node_id: lock for lock in NodeLock.objects.filter(expires_ms__gt=now)}
    return [
        AgentTarget(node.id, node.monitor_base_url, node.agent_token, _our_lock(locks.get(node.id), now))
        for node in nodes
    ]


def our_lock(*, node_id: int) -> OurLock | None:
    """The lock of ours that stands on one node now."""
    lock = NodeLock.objects.filter(node_id=node_id, expires_ms__gt=NowMs()).first()
    return _our_lock(lock, now_ms()) if lock else None


def our_locks(*, node_ids: Collection[int], now: int) -> dict[int, OurLock]:
    """Node id → the lock of ours that stands there at `now`, by the database's clock."""
    rows = NodeLock.objects.filter(node_id__in=node_ids, expires_ms__gt=now)
    return {row.node_id: lock for row in rows if (lock := _our_lock(row, now))}


def _our_lock(lock: NodeLock | None, now: int) -> OurLock | None:
    if lock is None:
        return None
    return OurLock(str(lock.id), lock.owner, lock.reason, (lock.expires_ms - now) / 1000)


def _foreign_of(node_id: int, lock: ForeignLock) -> StandingLock:
    return StandingLock(node_id, AGENT, lock["owner"], lock["reason"], lock["expires_ms"])
