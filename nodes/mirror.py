"""Keeps the lock that stands on an agent the same as ours, and honours one that somebody else put there.

A lock on the agent has an end of its own a few ticks away and is renewed at each tick, so that an
installation that dies never holds a machine. Two installations tell their locks apart by their ids.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import aiohttp

from dpl_site.lib.clock import utc_now
from nodes.payloads import AgentLock, LockRequest
from nodes.probe import TIMEOUT_S, AgentError, AgentReading, ask_agent, mirror_lock, mirror_unlock
from nodes.states import LockMirror

MIRROR_TTL_S = 30.0
"""How long an agent holds our lock when we fall silent, at the usual interval of two seconds."""
_LONGEST_TTL_S = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class OurLock:
    """The lock that stands on a node in our own rows; `left_s` is what it has left."""

    id: str
    owner: str
    reason: str
    left_s: float


@dataclass(frozen=True, slots=True)
class AgentTarget:
    """One agent to be asked, and the lock that it should hold for us."""

    node_id: int
    base_url: str
    token: str
    lock: OurLock | None


@dataclass(frozen=True, slots=True)
class AgentSeen:
    """What came of asking one agent: a reading, or an error in words.

    `lock_id` and `mirror` tell where our lock stands now; `foreign` is a lock of somebody else on the agent.
    """

    base_url: str
    at: datetime
    reading: AgentReading | None
    error: str = ""
    foreign: AgentLock | None = None
    lock_id: str = ""
    mirror: LockMirror = LockMirror.PENDING


def mirror_ttl_s(left_s: float, interval_s: float) -> float:
    """For how long the agent is to hold our lock: a few ticks, never longer than the lock has left."""
    return max(1.0, min(left_s, max(MIRROR_TTL_S, 5 * interval_s), _LONGEST_TTL_S))


async def see_agent(
    session: aiohttp.ClientSession,
    target: AgentTarget,
    *,
    installation: str,
    interval_s: float,
    timeout_s: float = TIMEOUT_S,
) -> AgentSeen:
    """Ask an agent and put its lock right. Never raises for what the agent does."""
    lock_id = target.lock.id if target.lock else ""
    try:
        reading = await ask_agent(session, base_url=target.base_url, token=target.token, timeout_s=timeout_s)
    except AgentError as error:
        mirror = LockMirror.UNMIRRORED if error.is_refusal else LockMirror.PENDING
        return AgentSeen(target.base_url, utc_now(), None, error.message, lock_id=lock_id, mirror=mirror)
    at = utc_now()
    foreign, mirror = await _put_right(session, target, reading.lock, installation, interval_s, timeout_s)
    return AgentSeen(target.base_url, at, reading, foreign=foreign, lock_id=lock_id, mirror=mirror)


async def _put_right(
    session: aiohttp.ClientSession,
    target: AgentTarget,
    standing: AgentLock | None,
    installation: str,
    interval_s: float,
    timeout_s: float,
) -> tuple[AgentLock | None, LockMirror]:
    """The foreign lock that stands in the end, and the state of ours."""
    if standing and standing["installation"] != installation:
        return standing, LockMirror.UNMIRRORED
    other: AgentLock | None = None
    try:
        if standing and (target.lock is None or standing["id"] != target.lock.id):
            other = await mirror_unlock(
                session,
                base_url=target.base_url,
                token=target.token,
                lock={"id": standing["id"], "installation": installation},
                timeout_s=timeout_s,
            )
        if target.lock is None or other:
            return other, LockMirror.UNMIRRORED if other else LockMirror.PENDING
        other = await mirror_lock(
            session,
            base_url=target.base_url,
            token=target.token,
            lock=lock_request(target.lock, installation, interval_s),
            timeout_s=timeout_s,
        )
    except AgentError as error:
        return None, LockMirror.UNMIRRORED if error.is_refusal else LockMirror.PENDING
    return other, LockMirror.UNMIRRORED if other else LockMirror.HELD


def lock_request(lock: OurLock, installation: str, interval_s: float) -> LockRequest:
    """What an agent is told of our lock."""
    return {
        "id": lock.id,
        "owner": lock.owner,
        "installation": installation,
        "reason": lock.reason,
        "ttl_s": mirror_ttl_s(lock.left_s, interval_s),
    }


def told_by_push(
    lock: OurLock | None, standing: AgentLock | None, installation: str
) -> tuple[AgentLock | None, LockMirror]:
    """The foreign lock that a pushed reading tells of, and where ours stands by it.

    The agent hears of ours in the answer to its push, so its next reading but one shows it.
    """
    if standing and standing["installation"] != installation:
        return standing, LockMirror.UNMIRRORED
    is_held = lock is not None and standing is not None and standing["id"] == lock.id
    return None, LockMirror.HELD if is_held else LockMirror.PENDING
