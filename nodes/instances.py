"""Process instances: who is alive in this installation, by the database's clock.

`Heartbeat` guarantees that the row of a live process is renewed every 2 s from a thread and connection of
its own; it writes that row only. On kill -9 the row expires after 8 s, or at once when any process on the
same host looks (`expire_dead_neighbours`).
"""

from __future__ import annotations

import hashlib
import logging
import os
import socket
import threading
import time
import uuid
from functools import lru_cache

import psutil
from django.db import DatabaseError, InterfaceError, connection
from django.db.models import Exists, OuterRef, Q, QuerySet

from dpl_site.lib.db import NowMs, now_sql, retrying, uuid_param
from dpl_site.lib.parent import parent_is_lost
from dpl_site.lib.prepared import Prepared
from nodes.models import ProcessInstance

BEAT_S = 2.0
TTL_MS = 8_000
PARENT_EVERY_S = 0.1
LATE_S = 5.0
"""A process whose heartbeat is this late dispatches nothing new; at TTL_MS it closes its upstreams."""

logger = logging.getLogger(__name__)


@lru_cache(maxsize=1)
def boot_id() -> str:
    """What names this boot of this host and its process ids: another boot's or container's mean other processes."""
    try:
        namespace = os.readlink("/proc/self/ns/pid")
    except OSError:
        namespace = ""
    named = f"{socket.gethostname()}/{int(psutil.boot_time())}/{namespace}"
    return hashlib.blake2s(named.encode(), digest_size=16).hexdigest()


def register(*, kind: str, group_pid: int = 0) -> ProcessInstance:
    """A row for this process, alive for the TTL; dead processes of this host are expired on the way."""
    expire_dead_neighbours()
    return ProcessInstance.objects.create(
        id=uuid.uuid4(),
        kind=kind,
        host=socket.gethostname(),
        boot_id=boot_id(),
        pid=os.getpid(),
        pid_created=psutil.Process().create_time(),
        group_pid=group_pid,
        heartbeat_ms=NowMs(),
        expires_ms=NowMs() + TTL_MS,
    )


def beat(*, instance_id: uuid.UUID) -> bool:
    """Renew one instance; False when it has expired or is gone, and so owns nothing any more."""
    now = now_sql()
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE nodes_processinstance SET heartbeat_ms = {now}, expires_ms = {now} + {TTL_MS} "
            f"WHERE id = %s AND expires_ms > {now}",
            [uuid_param(instance_id)],
        )
        return bool(cursor.rowcount)


def expire(*, instance_id: uuid.UUID) -> None:
    """End an instance now: what it holds is free for others."""
    ProcessInstance.objects.filter(id=instance_id).update(expires_ms=0)


def alive() -> QuerySet[ProcessInstance]:
    """The instances that live, by the database's clock."""
    return ProcessInstance.objects.filter(expires_ms__gt=NowMs())


def owner_is_dead(field: str) -> Q:
    """A condition for any table: the instance in `field` is unset, gone or expired."""
    living = ProcessInstance.objects.filter(id=OuterRef(f"{field}_id"), expires_ms__gt=NowMs())
    return Q(**{f"{field}__isnull": True}) | ~Q(Exists(living))


_NEIGHBOURS = Prepared(lambda: alive().filter(boot_id=boot_id()).values_list("id", "pid", "pid_created"))


def expire_dead_neighbours() -> int:
    """Expire the instances on this host whose process has ended; how many that were.

    A parent that saw a child die calls this, so that nobody waits for the TTL.
    """
    dead = [instance for instance, pid, created in _NEIGHBOURS.rows() if not _runs(pid, created)]
    return ProcessInstance.objects.filter(id__in=dead).update(expires_ms=0) if dead else 0


def prune(*, older_than_ms: int = 3_600_000) -> int:
    """Remove rows that expired long ago; how many."""
    ended = ProcessInstance.objects.filter(heartbeat_ms__lt=NowMs() - older_than_ms, expires_ms__lte=NowMs())
    deleted, _ = ended.delete()
    return deleted


def _runs(pid: int, created: float) -> bool:
    try:
        process = psutil.Process(pid)
        return abs(process.create_time() - created) < 2 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
    except psutil.Error:
        # Another user's process that we may not look at: its row expires by itself when it has ended.
        return True


class Heartbeat:
    """Keeps one instance alive from a thread of its own.

    Guarantee: while this process runs and reaches the database, its row is renewed every 2 s; `is_late` and
    `is_lost` tell the owner when it is not. Writes its own ProcessInstance row only. On kill -9 the row
    expires by itself; after a normal end `stop` expires it at once.
    """

    def __init__(self, *, kind: str, group_pid: int = 0) -> None:
        self.instance = retrying(lambda: register(kind=kind, group_pid=group_pid))
        self._last = time.monotonic()
        self._refused = False
        self._has_no_parent, self._ask_parent_at = False, 0.0
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"heartbeat-{kind}", daemon=True)

    @property
    def id(self) -> uuid.UUID:
        """The instance's id: what rows name as their owner."""
        return self.instance.id

    @property
    def is_late(self) -> bool:
        """Nothing new may be dispatched: the row was not renewed for 5 s, or the parent is gone."""
        now = time.monotonic()
        return now - self._last > LATE_S or self._is_lost(now)

    @property
    def is_lost(self) -> bool:
        """What this process owns is no longer its own: close everything."""
        return self._is_lost(time.monotonic())

    def _is_lost(self, now: float) -> bool:
        # Asked before each dispatch, and the answer takes three calls of the system.
        if now >= self._ask_parent_at:
            self._has_no_parent, self._ask_parent_at = parent_is_lost(), now + PARENT_EVERY_S
        return self._refused or now - self._last > TTL_MS / 1000 or self._has_no_parent

    def start(self) -> Heartbeat:
        """Begin to beat; gives itself, for `with closing(…)` style use."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """End the instance and the thread."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(timeout=5)
        try:
            expire(instance_id=self.id)
        except (DatabaseError, InterfaceError) as error:
            logger.warning("cannot expire instance %s (%s); it expires by itself", self.id, error)

    def _run(self) -> None:
        try:
            while not self._stopped.wait(BEAT_S):
                self._beat()
        finally:
            connection.close()

    def _beat(self) -> None:
        try:
            if beat(instance_id=self.id):
                self._last = time.monotonic()
            else:
                self._refused = True
        except (DatabaseError, InterfaceError) as error:
            logger.warning("heartbeat missed: %s", str(error).strip())
            connection.close()
