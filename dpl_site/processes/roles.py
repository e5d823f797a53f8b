"""What the processes of a django-q2 cluster are, and what follows when one of them is gone. Pure policy.

Why most deaths end the whole cluster: its processes are joined by two queues whose locks a killed process may
hold for ever. An idle worker may hold the task queue's read lock, the monitor the result queue's; then all
others wait in silence. A worker in the midst of a task holds neither.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

HUNG_AFTER_S = 3.0
SHORTEST_LIFE_S = 3.0
LONGEST_PAUSE_S = 5.0


class Role(StrEnum):
    """main starts the sentinel; the sentinel guards the rest."""

    MAIN = "main"
    SENTINEL = "sentinel"
    PUSHER = "pusher"
    MONITOR = "monitor"
    WORKER = "worker"


_ROLE_OF_WORD = {
    "pusher": Role.PUSHER,
    "monitor": Role.MONITOR,
    "idle": Role.WORKER,
    "processing": Role.WORKER,
}


def role_of(title: str) -> Role | None:
    """The role of a sentinel's child by its title (`qcluster NAME ROLE …`); None while it has not said yet."""
    words = title.split()
    return _ROLE_OF_WORD.get(words[2]) if len(words) > 2 and words[0] == "qcluster" else None


def is_complete(found: Sequence[Role], *, workers: int) -> bool:
    """Whether these are all the children that a sentinel is to have."""
    return (
        found.count(Role.WORKER) >= workers
        and found.count(Role.PUSHER) == 1
        and found.count(Role.MONITOR) == 1
    )


@dataclass(frozen=True, slots=True)
class Loss:
    """A process of the cluster that is gone; `was_busy`: a worker in the midst of a drain or an import."""

    role: Role
    pid: int
    was_busy: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the cluster must be started anew, and why."""

    must_restart: bool
    reason: str = ""


def verdict_on(losses: Sequence[Loss]) -> Verdict:
    """What follows from losses: only a worker that was busy leaves the others sound; the sentinel replaces it."""
    for loss in losses:
        if loss.role is not Role.WORKER:
            return Verdict(True, f"its {loss.role} (process {loss.pid}) is gone")
        if not loss.was_busy:
            return Verdict(True, f"an idle worker (process {loss.pid}) is gone, maybe with the queue's lock")
    return Verdict(False)


@dataclass
class Progress:
    """Whether wake-ups are taken while somebody could take them. Fed with what was read, by the caller's clock."""

    _oldest: int | None = None
    _since: float = field(default=0.0)

    def is_hung(self, *, oldest: int | None, has_room: bool, now: float) -> bool:
        """`oldest`: the id of the first message that nobody took; `has_room`: a worker is free to take it."""
        if oldest is None or not has_room or oldest != self._oldest:
            self._oldest, self._since = oldest, now
            return False
        return now - self._since > HUNG_AFTER_S


def pause_before_restart(previous_s: float, *, lived_s: float) -> float:
    """Seconds to wait before the next start: none after a life of some seconds, twice as long after each short one."""
    if lived_s >= SHORTEST_LIFE_S:
        return 0.0
    return min(max(previous_s * 2, 0.5), LONGEST_PAUSE_S)
