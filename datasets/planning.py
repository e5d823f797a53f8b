"""Decides how a job is cut, whose shard comes next, what becomes of a failed try, and what is run twice. Pure.

Imports no Django, no HTTP and no clock.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from inference.errors import (
    Blame,
    ConnectionLost,
    EngineBusy,
    InferenceError,
    ModelMissing,
)

SUSPECT_DEATHS = 2
"""A worker that dies this often while an item runs alone is taken to die of the item."""
LOSSES_FORGIVEN = 5
"""Connections that may break under one item before it is held responsible, as if it crashed its engines."""
QUIET_S = 12.0
"""How long a worker must have lived before it tries an item again that one died of while alone."""
BUSY_PAUSE_S = 1.0
"""How long a slot waits that met a full engine which does not say how long: the others go on, so the number of
requests settles at what the engine takes."""
MISSING_PAUSE_S = 10.0
RETRY_PAUSE_S = 0.5
RETRY_PAUSE_MAX_S = 30.0
AHEAD_S = 1.0
STUCK_FACTOR = 2.0
UNMEASURED_STUCK_S = 10.0


class Action(StrEnum):
    """What becomes of an item after a try."""

    FAIL = "fail"
    RETRY = "retry"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to do with an item after an error, and with its engine.

    `delay_s` before the item is tried again; `rest_engine_s` is how long its engine gets no items from here,
    `rest_lane_s` how long only the slot that met the error waits.
    """

    action: Action
    costs_attempt: bool
    is_loss: bool = False
    delay_s: float = 0.0
    rest_engine_s: float = 0.0
    rest_lane_s: float = 0.0
    reason: str = ""


def after_error(error: InferenceError, *, attempts: int, losses: int, allowed: int) -> Verdict:
    """What becomes of an item that ended in `error`, having had `attempts` and `losses` before it.

    Faults of the node and of ours cost no attempt; a connection that breaks again and again under one item
    is charged to it, since a prompt that crashes every engine must end some time.
    """
    if error.blame is Blame.ITEM:
        return _charged(error, attempts, allowed)
    if isinstance(error, ConnectionLost):
        if losses + 1 > LOSSES_FORGIVEN:
            return _charged(error, attempts, allowed, is_loss=True)
        return Verdict(
            Action.RETRY, costs_attempt=False, is_loss=True, delay_s=RETRY_PAUSE_S, reason=error.message
        )
    rest = (error.retry_after_s or 0.0) if isinstance(error, EngineBusy) else 0.0
    if isinstance(error, ModelMissing):
        rest = MISSING_PAUSE_S
    lane = BUSY_PAUSE_S if isinstance(error, EngineBusy) and not rest else 0.0
    return Verdict(
        Action.RETRY, costs_attempt=False, rest_engine_s=rest, rest_lane_s=lane, reason=error.message
    )


def _charged(error: InferenceError, attempts: int, allowed: int, *, is_loss: bool = False) -> Verdict:
    used = attempts + 1
    if not error.is_retryable or used >= allowed:
        reason = f"attempt {used} of {allowed}" if error.is_retryable else "trying again cannot help"
        return Verdict(Action.FAIL, costs_attempt=True, is_loss=is_loss, reason=reason)
    delay = min(RETRY_PAUSE_S * 2**attempts, RETRY_PAUSE_MAX_S)
    return Verdict(Action.RETRY, costs_attempt=True, is_loss=is_loss, delay_s=delay, reason=error.message)


def shard_size(total: int, *, largest: int, smallest: int = 8, parts: int = 16) -> int:
    """Items per shard: about `parts` shards for a small job, so that workers share it; never over `largest`."""
    return max(1, min(largest, max(smallest, total // parts)))


def fetch_ahead(active: int, per_second: float) -> int:
    """How many items a process keeps at hand, given its lanes at work and how many items they finish a second.

    Two per lane, and enough to outlast a claim that must wait: a lane that runs dry loses its slot.
    """
    return max(1, 2 * active, math.ceil(per_second * AHEAD_S))


@dataclass(frozen=True, slots=True)
class Claimable:
    """A job with shards that nobody has: how many of its shards run, and which job it is (ids sort by age)."""

    job_id: str
    running_shards: int


def job_order(jobs: Sequence[Claimable]) -> list[str]:
    """Whose shard to claim first: the job with the fewest running, the older of equals; so jobs share the fleet."""
    return [job.job_id for job in sorted(jobs, key=lambda job: (job.running_shards, job.job_id))]


def may_share(mine: int, others: int) -> bool:
    """Whether a process with `mine` slots gives one to a process that waits and holds `others`."""
    return mine > others + 1


@dataclass(frozen=True, slots=True)
class Running:
    """An item under way: on which engine, for how long, how long one takes there (None: unmeasured), copies."""

    item_id: int
    engine_id: int
    elapsed_s: float
    expected_s: float | None
    copies: int = 1


@dataclass(frozen=True, slots=True)
class Idle:
    """An engine with free slots and nothing left to pull, and how long an item takes there (None: unmeasured)."""

    engine_id: int
    free: int
    expected_s: float | None


@dataclass(frozen=True, slots=True)
class Reissue:
    """Run this item on that engine too; the first result wins."""

    item_id: int
    engine_id: int
    reason: str


def tail_reissues(running: Sequence[Running], idle: Sequence[Idle]) -> list[Reissue]:
    """Which running items to start a second time on idle engines: the oldest first, one copy each.

    An item is worth it when the idle engine is expected to end before the first one does, or when the first
    takes much longer than it should.
    """
    free = {engine.engine_id: engine.free for engine in idle}
    chosen: list[Reissue] = []
    for item in sorted((one for one in running if one.copies == 1), key=lambda one: -one.elapsed_s):
        for engine in sorted(idle, key=lambda one: (one.expected_s is None, one.expected_s or 0.0)):
            reason = _worth(item, engine) if free[engine.engine_id] > 0 else ""
            if reason and engine.engine_id != item.engine_id:
                free[engine.engine_id] -= 1
                chosen.append(Reissue(item.item_id, engine.engine_id, reason))
                break
    return chosen


def _worth(item: Running, engine: Idle) -> str:
    if item.expected_s is None:
        return "runs long, unmeasured" if item.elapsed_s > UNMEASURED_STUCK_S else ""
    if item.elapsed_s > STUCK_FACTOR * item.expected_s:
        return f"runs {item.elapsed_s:.1f} s where {item.expected_s:.1f} s are usual"
    left = item.expected_s - item.elapsed_s
    if engine.expected_s is not None and engine.expected_s < left:
        return f"done there in {engine.expected_s:.1f} s, here in {left:.1f} s"
    return ""
