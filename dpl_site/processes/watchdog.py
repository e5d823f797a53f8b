"""Keeps one django-q2 cluster working: `manage.py worker`."""

from __future__ import annotations

import logging
import signal
import time
import uuid

from django.db import DatabaseError, InterfaceError, connection
from django.utils import timezone
from django_q.conf import Conf
from django_q.models import OrmQ

import datasets.tasks  # noqa: F401 - imported before the fork, so that all workers share the memory of it
from dpl_site.lib.parent import watch_parent
from dpl_site.lib.prepared import AnyRow, Prepared
from dpl_site.processes.cluster import Cluster, send
from dpl_site.processes.orphans import end_orphans
from dpl_site.processes.presence import Presence
from dpl_site.processes.roles import Loss, Progress, Role, pause_before_restart, verdict_on
from dpl_site.processes.signals import STOP_SIGNALS, Bell
from nodes.instances import alive, boot_id, expire_dead_neighbours

LOOK_EVERY_S = 0.5
LOOK_WHEN_IDLE_EVERY_S = 1.0
LOOK_AT_START_EVERY_S = 0.1
COMPLETE_WITHIN_S = 20.0
GRACE_S = 2.0
GRACE_STEP_S = 0.05
BUSY_KINDS = ("drain", "import")
AWAY = (DatabaseError, InterfaceError)

_QUEUED = AnyRow(OrmQ.objects.all)
_BUSY = Prepared(
    lambda: alive().filter(kind__in=BUSY_KINDS, boot_id=boot_id()).values_list("id", "pid", "group_pid")
)

logger = logging.getLogger(__name__)


class Watchdog:
    """Forks the cluster, looks after it once or twice a second, and starts it anew when it cannot be trusted any more.

    Guarantee: whichever process of the cluster is killed or hangs, wake-ups are taken again within seconds;
    drains that still run are first asked to give back what they hold. It writes its own ProcessInstance
    row, which names the cluster's process group, and expires the rows of processes that it saw end. On
    kill -9 the cluster ends by itself (it reads a pipe of ours), and if its main process was killed too,
    the next watchdog on this host ends what is left.
    """

    def __init__(self, *, workers: int | None = None) -> None:
        self._workers = workers or Conf.WORKERS
        self._bell = Bell()
        self._cluster: Cluster | None = None
        self._presence: Presence | None = None
        self._progress = Progress()
        self._busy: dict[uuid.UUID, int] = {}
        self._has_lost_drains = False
        self._complete_by = self._start_at = self._pause_s = 0.0

    def run(self) -> None:
        """Watch until told to stop by a signal or by the parent's end. In the main thread only."""
        with self._bell.hung({*STOP_SIGNALS, signal.SIGCHLD}):
            watch_parent(lambda: self._bell.ring(signal.SIGTERM))
            self._end_what_was_left()
            while not self._bell.wait(self._patience_s()) & STOP_SIGNALS:
                self.step()
            self.stop()

    def step(self) -> None:
        """One look: start what is to be started, judge what runs."""
        if self._cluster is None:
            if time.monotonic() >= self._start_at:
                self._start()
            return
        if self._presence is not None:
            self._presence.keep()
        reason = self._what_is_wrong(self._cluster)
        if reason:
            self._restart(self._cluster, reason)

    def stop(self) -> None:
        """End the cluster in order: drains give back what they hold, then all of it is killed."""
        if self._cluster is not None:
            self._end(self._cluster)

    def _patience_s(self) -> float:
        if self._cluster is None or not self._cluster.is_complete:
            return LOOK_AT_START_EVERY_S
        return LOOK_EVERY_S if self._busy else LOOK_WHEN_IDLE_EVERY_S

    # --- Starting and ending ------------------------------------------------------------------------------

    def _end_what_was_left(self) -> None:
        try:
            end_orphans()
        except AWAY as error:
            _database_is_away(error)

    def _start(self) -> None:
        self._cluster = Cluster(self._bell)
        self._has_lost_drains = False
        self._complete_by = time.monotonic() + COMPLETE_WITHIN_S
        self._progress = Progress()
        self._presence = Presence("worker", group_pid=self._cluster.pid)
        self._presence.keep()

    def _restart(self, cluster: Cluster, reason: str) -> None:
        self._pause_s = pause_before_restart(self._pause_s, lived_s=time.monotonic() - cluster.started_at)
        logger.warning("the workers start anew: %s", reason, extra={"action": "cluster_restart"})
        self._end(cluster)
        self._start_at = time.monotonic() + self._pause_s

    def _end(self, cluster: Cluster) -> None:
        """Ask the drains to give back what they hold, kill everything, expire what is dead."""
        cluster.signal_role(Role.SENTINEL, signal.SIGSTOP)  # so that it replaces nobody meanwhile
        cluster.signal_role(Role.PUSHER, signal.SIGKILL)
        self._await_drains(cluster)
        cluster.kill()
        self._cluster, self._busy = None, {}
        self._expire_the_dead()
        if self._presence is not None:
            self._presence.stop()
        connection.close()

    def _await_drains(self, cluster: Cluster) -> None:
        """SIGTERM to each drain, SIGKILL to the idle lest they begin one; until none drains or time is up."""
        told: set[uuid.UUID] = set()
        deadline = time.monotonic() + GRACE_S
        while busy := self._read_busy(cluster):
            if time.monotonic() >= deadline:
                logger.warning("%d drains did not end in time; they are killed", len(busy))
                return
            for member in cluster.members:
                news = [one for one, pid in busy.items() if pid == member.process.pid and one not in told]
                if news:
                    send(member.process, signal.SIGTERM)
                    told.update(news)
                elif member.role is Role.WORKER and member.process.pid not in busy.values():
                    send(member.process, signal.SIGKILL)
            time.sleep(GRACE_STEP_S)

    # --- Judging ------------------------------------------------------------------------------------------

    def _what_is_wrong(self, cluster: Cluster) -> str:
        """Why the cluster must be started anew; empty when it need not."""
        if cluster.main_has_ended:
            return f"their main process {cluster.pid} is gone"
        losses = [
            Loss(member.role, member.process.pid, member.process.pid in self._busy.values())
            for member in cluster.members
            if not member.runs
        ]
        verdict = verdict_on(losses)
        if verdict.must_restart:
            return verdict.reason
        if losses:
            self._note_killed_drains(losses, cluster)
        if not cluster.is_complete:
            return self._look_again(cluster)
        self._busy = self._read_busy(cluster)
        return "they take no wake-ups although they could" if self._is_hung() else ""

    def _look_again(self, cluster: Cluster) -> str:
        if not cluster.look(workers=self._workers):
            is_overdue = time.monotonic() > self._complete_by
            return f"not all were there after {COMPLETE_WITHIN_S:g} s" if is_overdue else ""
        was_forgiven, self._has_lost_drains = self._has_lost_drains, False
        is_suspect = not was_forgiven and cluster.has_replacements()
        return "one was killed before it was seen, maybe with a queue's lock" if is_suspect else ""

    def _note_killed_drains(self, losses: list[Loss], cluster: Cluster) -> None:
        """The sentinel replaces workers that were killed in a task; what they held is freed here and now."""
        pids = {loss.pid for loss in losses}
        logger.warning(
            "worker processes %s ended in a task; others take their places",
            sorted(pids),
            extra={"action": "drain_lost"},
        )
        cluster.forget(pids)
        self._has_lost_drains = True
        self._complete_by = time.monotonic() + COMPLETE_WITHIN_S
        self._expire_the_dead()

    def _expire_the_dead(self) -> None:
        try:
            expire_dead_neighbours()
        except AWAY as error:
            _database_is_away(error)

    def _read_busy(self, cluster: Cluster) -> dict[uuid.UUID, int]:
        """Instance and pid of each drain and import in this cluster; what was last known while nobody can tell."""
        own = {member.process.pid for member in cluster.members if member.role is Role.WORKER and member.runs}
        try:
            found = {instance: pid for instance, pid, group in _BUSY.rows() if group == cluster.pid}
        except AWAY as error:
            _database_is_away(error)
            found = self._busy
        return {instance: pid for instance, pid in found.items() if pid in own}

    def _is_hung(self) -> bool:
        try:
            waiting = OrmQ.objects.filter(lock__lte=timezone.now()).order_by("id")
            oldest = waiting.values_list("id", flat=True).first() if _QUEUED.exists() else None
        except AWAY as error:
            _database_is_away(error)
            return False
        has_room = len(set(self._busy.values())) < self._workers
        return self._progress.is_hung(oldest=oldest, has_room=has_room, now=time.monotonic())


def _database_is_away(error: Exception) -> None:
    logger.debug("the database is away: %s", str(error).strip())
    connection.close()
