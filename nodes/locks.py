"""Locks on whole nodes: the only writer of NodeLock and LockAudit rows.

One row per node at most; whoever inserts it, or replaces an expired one, has the node. The controller makes
the agents agree at its next tick, for which each change here is news.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Any

from django.db import connection, transaction
from django.db.models import QuerySet

from dpl_site.lib.clock import iso_ms, utc_now
from dpl_site.lib.db import NowMs, now_sql, uuid_param
from dpl_site.lib.refusals import Refused
from nodes.models import LockAudit, NodeLock
from nodes.selectors import StandingLock, live_nodes, standing_lock, standing_of
from nodes.services import node_changed
from nodes.states import LockMirror

MIN_TTL_S = 1.0
MAX_TTL_S = 30 * 86_400.0
PERSON = NodeLock.By.PERSON.value
JOB = NodeLock.By.JOB.value
LOCKED, RENEWED, UNLOCKED, EXPIRED = "locked", "renewed", "unlocked", "expired"
LOCK_NEWS = "lock"
"""What an event of the cluster says when a lock changed: the controller looks at that node's agent at once."""


class AlreadyLocked(Refused):
    """The node has a lock already; `lock` says whose, why and until when."""

    def __init__(self, lock: StandingLock) -> None:
        until = f" until {iso_ms(lock.expires_ms)}"
        why = f" ({lock.reason})" if lock.reason else ""
        whose = {PERSON: lock.owner, JOB: f"the job {lock.owner}"}.get(
            lock.by, f"{lock.owner}, on its agent,"
        )
        super().__init__(
            f"The node is locked by {whose}{until}{why}.",
            code="locked",
            status=409,
            detail={"lock": dict(lock.view())},
        )
        self.lock = lock


class NotYourLock(Refused):
    """The lock is another's and was not to be broken."""

    def __init__(self, lock: StandingLock) -> None:
        super().__init__(
            f"The lock is {lock.owner}'s, not yours. Ask {lock.owner}, or an admin, to unlock the node.",
            code="not_your_lock",
            status=403,
            detail={"lock": dict(lock.view())},
        )
        self.lock = lock


def lock_node(
    *,
    node_id: int,
    by: str,
    owner: str,
    reason: str,
    ttl_s: float,
    actor: str,
    user_id: int | None = None,
    job_id: str = "",
) -> NodeLock:
    """Claim a node for a person or a job, for `ttl_s` seconds.

    Raises AlreadyLocked, or Refused for a node that is not there or a time that is too short or too long.
    """
    _check_ttl(ttl_s)
    with transaction.atomic():
        if not live_nodes().filter(id=node_id).exists():
            raise Refused(f"There is no node {node_id}.", status=404)
        standing = standing_lock(node_id=node_id)
        if standing is not None:
            raise AlreadyLocked(standing)
        expired = NodeLock.objects.select_for_update().filter(node_id=node_id).first()
        claimed = _claim(
            {
                "node_id": node_id,
                "by": by,
                "owner": owner[:150],
                "user_id": user_id,
                "job_id": job_id,
                "reason": reason[:300],
            },
            ttl_s,
        )
        if claimed is None:
            raise AlreadyLocked(standing_of(NodeLock.objects.get(node_id=node_id)))
        if expired is not None:
            _audit([expired], EXPIRED, actor)
        lock = NodeLock.objects.get(id=claimed)
        _audit([lock], LOCKED, actor)
        _tell([node_id])
        return lock


def renew_lock(
    *,
    node_id: int,
    ttl_s: float,
    job_id: str = "",
    lock_id: uuid.UUID | str | None = None,
    reason: str | None = None,
    actor: str = "",
) -> bool:
    """Let a lock last `ttl_s` seconds from now; whether it still stood. Named by its job or by its id.

    A person's renewal (`actor`) is audited and news; a job's, which comes each second, is neither.
    """
    _check_ttl(ttl_s)
    if not job_id and lock_id is None:
        raise ValueError("name the lock by job_id or by lock_id")
    named = {"job_id": job_id} if lock_id is None else {"id": lock_id}
    values: dict[str, Any] = {"expires_ms": NowMs() + int(ttl_s * 1000)}
    if reason is not None:
        values["reason"] = reason[:300]
    with transaction.atomic():
        mine = NodeLock.objects.filter(node_id=node_id, expires_ms__gt=NowMs(), **named)
        if not mine.update(**values):
            return False
        if actor:
            _audit(mine, RENEWED, actor)
            _tell([node_id])
        return True


def unlock_node(
    *, node_id: int, actor: str, force: bool = False, lock_id: uuid.UUID | str | None = None
) -> bool:
    """Free a node of the actor's own lock, of the lock `lock_id`, or with `force` of anybody's.

    False when it was free (or had another lock than `lock_id`). Raises NotYourLock, and AlreadyLocked for a
    lock that somebody else put on the agent: only he can take it away.
    """
    with transaction.atomic():
        rows = NodeLock.objects.filter(node_id=node_id)
        if lock_id is not None:
            return bool(_end(rows.filter(id=lock_id), UNLOCKED, actor))
        # The row itself is asked: a lock that a stranger put on the agent hides ours from view, not its owner.
        ours = rows.filter(expires_ms__gt=NowMs()).first()
        is_own = ours is not None and ours.by == PERSON and ours.owner == actor
        if ours is not None and not (force or is_own):
            raise NotYourLock(standing_of(ours))
        freed = _end(rows, UNLOCKED, actor)
        standing = standing_lock(node_id=node_id)
        if standing and not standing.lock_id and not freed:
            raise AlreadyLocked(standing)
        return bool(freed)


def release_node(*, node_id: int, actor: str) -> bool:
    """Free a node that leaves the fleet of whatever lock of ours it has; whether it had one."""
    return bool(_end(NodeLock.objects.filter(node_id=node_id), UNLOCKED, actor))


def unlock_all(*, actor: str) -> int:
    """Free every node of persons' and jobs' locks; how many there were."""
    return _end(NodeLock.objects.all(), UNLOCKED, actor)


def release_job_locks(*, job_id: str, actor: str) -> int:
    """Free the nodes that a job has locked; how many."""
    return _end(NodeLock.objects.filter(job_id=job_id).exclude(job_id=""), UNLOCKED, actor)


def expire_locks(*, actor: str = "controller") -> int:
    """Remove the locks whose time is up; how many."""
    over = NodeLock.objects.filter(expires_ms__lte=NowMs())
    return _end(over, EXPIRED, actor) if over.exists() else 0


def job_ids_with_locks() -> list[str]:
    """The ids of jobs that have locked nodes."""
    rows = NodeLock.objects.exclude(job_id="").order_by()
    return list(rows.values_list("job_id", flat=True).distinct())


def _claim(columns: dict[str, Any], ttl_s: float) -> uuid.UUID | None:
    """Insert the node's row or replace an expired one, in one statement; None when another stands there."""
    new_id = uuid.uuid4()
    created = connection.ops.adapt_datetimefield_value(utc_now())
    values = {"id": uuid_param(new_id), "mirror": LockMirror.PENDING.value, "created_at": created} | columns
    names = [connection.ops.quote_name(name) for name in values]
    replaced = ", ".join(f"{name} = excluded.{name}" for name in [*names, "expires_ms"])
    sql = (
        f"INSERT INTO nodes_nodelock ({', '.join(names)}, expires_ms) "
        f"VALUES ({', '.join(['%s'] * len(names))}, {now_sql()} + %s) "
        f"ON CONFLICT (node_id) DO UPDATE SET {replaced} WHERE nodes_nodelock.expires_ms <= {now_sql()}"
    )
    with connection.cursor() as cursor:
        cursor.execute(sql, [*values.values(), int(ttl_s * 1000)])
        return new_id if cursor.rowcount == 1 else None


def _end(locks: QuerySet[NodeLock], action: str, actor: str) -> int:
    """Remove locks, with audit and news; how many."""
    with transaction.atomic():
        ended = list(locks.select_for_update().order_by("node_id"))
        if ended:
            NodeLock.objects.filter(id__in=[lock.id for lock in ended]).delete()
            _audit(ended, action, actor)
            _tell([lock.node_id for lock in ended])
        return len(ended)


def _audit(locks: Iterable[NodeLock], action: str, actor: str) -> None:
    LockAudit.objects.bulk_create(
        LockAudit(
            node_id=lock.node_id,
            lock_id=lock.id,
            by=lock.by,
            action=action,
            owner=lock.owner,
            actor=actor[:150],
            reason=lock.reason,
        )
        for lock in locks
    )


def _tell(node_ids: Iterable[int]) -> None:
    for node_id in node_ids:
        node_changed(node_id=node_id, payload=LOCK_NEWS)


def _check_ttl(ttl_s: float) -> None:
    if not MIN_TTL_S <= ttl_s <= MAX_TTL_S:
        message = f"A lock lasts from {MIN_TTL_S:.0f} second to {MAX_TTL_S / 86_400:.0f} days. Give ttl_s in seconds."
        raise Refused(message, code="invalid", detail={"ttl_s": [message]})
