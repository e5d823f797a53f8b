"""What a controller does and how often: the list, and the limits of each."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from django.conf import settings
from django.db import connection

from alerts import notices
from alerts.evaluation import Evaluator
from alerts.heartbeat import record_beat
from datasets.models import Job
from datasets.reconcile import reconcile
from datasets.states import UNFINISHED
from dpl_site.lib.prepared import AnyRow
from dpl_site.processes import notifying
from dpl_site.processes.notifying import Postman
from dpl_site.processes.pruning import PRUNERS
from inference.models import Slot, SlotWaiter
from inference.probe import FleetProbe, FleetReading
from inference.services import record_fleet
from inference.slots import free_dead_leases
from nodes import news
from nodes.history import is_roll_up_due, record_past, roll_up
from nodes.instances import expire_dead_neighbours
from nodes.leadership import leading
from nodes.locks import LOCK_NEWS, expire_locks
from nodes.models import NodeLock
from nodes.pushed import past_readings
from nodes.watching import watched_nodes

LEAD = "controller"
PRUNE_EVERY_S = 60.0
PRUNE_OFTEN_S: Mapping[str, float] = MappingProxyType({"requests": 10.0, "history": 5.0})
"""Tables that may grow faster than one transaction a minute shrinks them."""
LOOK_FOR_LOCKS_S = 1.0
PUT_TOGETHER_EVERY_S = 5.0
ROLL_UP_EVERY_S = 1.0
EXPIRE_DEAD_EVERY_S = 2.0
"""Whoever ends a child expires it at once; this is for processes that nobody watched."""


@dataclass(frozen=True, slots=True)
class Duty:
    """Something to be done every `period_s` seconds.

    `work` writes, in one transaction that commits only while this controller leads, and in `bound_s` at
    most. With `gather`, which reads only (or claims, by conditional updates that need no lead), it is done once
    for each thing that this gives, and is given it.
    `is_needed` is a quick look that spares an idle installation the rest. Everybody's duties are done
    by stand-by controllers too, without the lead.
    """

    name: str
    period_s: float
    work: Callable[..., object]
    gather: Callable[[], AsyncIterator[Any]] | None = None
    is_needed: Callable[[], object] | None = None
    is_everybodys: bool = False
    bound_s: float = 5.0


def all_duties(probe: FleetProbe) -> tuple[Duty, ...]:
    """Every duty of a controller; `probe` asks the fleet."""
    changes, watched = LockChanges(probe), WatchedNodes(probe)
    alerts, postman = Evaluator(), Postman()
    return (
        Duty("probe the fleet", settings.DPL_POLL_INTERVAL_S, _record, gather=probe.answers, bound_s=10.0),
        Duty(
            "mirror lock changes",
            LOOK_FOR_LOCKS_S,
            _record,
            gather=changes.answers,
            is_needed=changes.look,
            bound_s=10.0,
        ),
        *watched.duties(),
        Duty("reconcile jobs", 1.0, reconcile, is_needed=_has_jobs),
        Duty("expire locks", 1.0, expire_locks, is_needed=_has_locks),
        Duty("expire dead processes", EXPIRE_DEAD_EVERY_S, expire_dead_neighbours, is_everybodys=True),
        Duty("evaluate alerts", settings.DPL_POLL_INTERVAL_S, alerts.step, bound_s=10.0),
        Duty("put messages together", PUT_TOGETHER_EVERY_S, notices.put_together),
        Duty(
            "send messages",
            PUT_TOGETHER_EVERY_S,
            notifying.record,
            gather=postman.outcomes,
            is_needed=notices.has_queued,
            bound_s=notifying.SEND_WITHIN_S,
        ),
        Duty(
            "heartbeat out",
            notifying.BEAT_EVERY_S,
            record_beat,
            gather=notifying.heartbeats,
            bound_s=notifying.BEAT_WITHIN_S + 5,
        ),
        Duty("roll up history", ROLL_UP_EVERY_S, roll_up, is_needed=is_roll_up_due),
        Duty("free dead leases", 5.0, free_dead_leases, is_needed=_has_leases),
        *(
            Duty(f"prune {name}", PRUNE_OFTEN_S.get(name, PRUNE_EVERY_S), prune)
            for name, prune in PRUNERS.items()
        ),
    )


def perform(duty: Duty, epoch: int | None, *given: Any) -> bool:
    """The writing part of a duty; whether the lead was checked, and so renewed.

    Raises NotLeading when the lead has gone to another, and what the work raises.
    """
    if duty.is_everybodys:
        duty.work(*given)
        return False
    with leading(name=LEAD, epoch=epoch or 0), _bounded(duty.bound_s):
        duty.work(*given)
    return True


class LockChanges:
    """Which nodes' locks changed since the last look: their agents are told at once.

    An event is a hint: what is missed here is seen by the next tick.
    """

    def __init__(self, probe: FleetProbe) -> None:
        self._probe = probe
        self._seen: int | None = None
        self._changed: set[int] = set()

    def look(self) -> bool:
        """Read the news; whether the lock of any node changed."""
        if self._seen is None:
            self._seen = news.last_id()
            return False
        if news.last_id() == self._seen:
            return bool(self._changed)
        events = news.since(self._seen)
        self._seen = max([self._seen, *(event.id for event in events)])
        self._changed |= {
            int(event.object_id)
            for event in events
            if event.topic == news.CLUSTER and event.payload == LOCK_NEWS and event.object_id.isdigit()
        }
        return bool(self._changed)

    async def answers(self) -> AsyncIterator[FleetReading]:
        """What the nodes answer whose lock changed."""
        changed, self._changed = self._changed, set()
        async for reading in self._probe.answers(changed):
            yield reading


class WatchedNodes:
    """The nodes that somebody looks at: their agents are asked more often than the fleet is."""

    def __init__(self, probe: FleetProbe) -> None:
        self._probe = probe
        self._nodes: set[int] = set()

    def duties(self) -> tuple[Duty, ...]:
        """One, or none when the settings have it off: it would be no more often than the fleet is asked."""
        period_s = settings.DPL_WATCHED_INTERVAL_S
        if not 0 < period_s < settings.DPL_POLL_INTERVAL_S:
            return ()
        name = "probe what is watched"
        return (Duty(name, period_s, _record, gather=self.answers, is_needed=self.look, bound_s=10.0),)

    def look(self) -> bool:
        """Whether anybody looks at a node."""
        self._nodes = watched_nodes()
        return bool(self._nodes)

    async def answers(self) -> AsyncIterator[FleetReading]:
        """What the agents of these nodes answer."""
        async for reading in self._probe.answers(self._nodes, agents_only=True):
            yield reading


def _has_jobs() -> bool:
    return _UNFINISHED_JOBS.exists() or _JOB_LOCKS.exists()


def _has_locks() -> bool:
    return _NODE_LOCKS.exists()


def _has_leases() -> bool:
    return _HELD_SLOTS.exists() or _SLOT_WAITERS.exists()


_UNFINISHED_JOBS = AnyRow(lambda: Job.objects.filter(state__in=UNFINISHED))
_NODE_LOCKS = AnyRow(NodeLock.objects.all)
_JOB_LOCKS = AnyRow(lambda: NodeLock.objects.exclude(job_id=""))
_HELD_SLOTS = AnyRow(lambda: Slot.objects.filter(holder__isnull=False))
_SLOT_WAITERS = AnyRow(SlotWaiter.objects.all)


def _record(reading: FleetReading) -> None:
    record_fleet(reading=reading)
    for node_id, samples in past_readings().items():
        record_past(node_id, samples)


@contextmanager
def _bounded(seconds: float) -> Iterator[None]:
    """Let the server end a transaction that takes too long; SQLite's own limit is how long it waits for the lock."""
    if connection.vendor == "postgresql":
        limit = int(seconds * 1000)
        with connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL statement_timeout = {limit}")
            cursor.execute(f"SET LOCAL idle_in_transaction_session_timeout = {limit}")
    yield
