"""A long-lived process's row among the instances: made when the database allows it, made anew when it was lost."""

from __future__ import annotations

import asyncio
import logging
import uuid

from django.db import DatabaseError, InterfaceError, connection

from dpl_site.lib.db import call, now_ms
from dpl_site.lib.parent import parent_is_lost
from nodes.instances import Heartbeat

KEEP_EVERY_S = 1.0

logger = logging.getLogger(__name__)


class Presence:
    """Sees to it that this process is known as alive whenever the database can be reached.

    Guarantee: `keep`, called about once a second, gives the living heartbeat, or None while there can be
    none. It writes its own ProcessInstance row only. A row that expired while the database was away is
    never revived, as others may have taken what it owned: a new one is made. On kill -9 the row expires.
    """

    def __init__(self, kind: str, *, group_pid: int = 0) -> None:
        self._kind = kind
        self._group_pid = group_pid
        self._heartbeat: Heartbeat | None = None

    @property
    def is_kept(self) -> bool:
        """Whether there is a living heartbeat, so that `keep` would have nothing to do. Asks no database."""
        return self._heartbeat is not None and not self._heartbeat.is_lost

    @property
    def instance_id(self) -> uuid.UUID | None:
        """The id that rows name as their owner, None while this process may own nothing."""
        return self._heartbeat.id if self._heartbeat and not self._heartbeat.is_late else None

    def keep(self) -> Heartbeat | None:
        """The living heartbeat, made if need be; None while the database is away or the parent is gone."""
        if self.is_kept or parent_is_lost():
            return self._heartbeat if self.is_kept else None
        try:
            now_ms()  # a Heartbeat waits for the database, and this must not
            self.stop()
            self._heartbeat = Heartbeat(kind=self._kind, group_pid=self._group_pid).start()
        except (DatabaseError, InterfaceError) as error:
            logger.debug("no instance while the database is away: %s", error)
            connection.close()
        return self._heartbeat if self.is_kept else None

    def stop(self) -> None:
        """End the instance: what it owns is free for others at once."""
        if self._heartbeat is not None:
            self._heartbeat.stop()
            self._heartbeat = None


class WebPresence:
    """The presence of a web process: kept by a task of its event loop, so that requests never wait for it.

    Guarantee, rows and kill -9: those of Presence.
    """

    def __init__(self) -> None:
        self._presence = Presence("web")
        self._task: asyncio.Task[None] | None = None

    @property
    def instance_id(self) -> uuid.UUID | None:
        """The id that rows name as their owner, None while this process may own nothing."""
        return self._presence.instance_id

    def begin(self) -> None:
        """Be present from now on; a second time changes nothing."""
        # Asked before each request; asking for the running loop would be a call of the system.
        if self._task is None or self._task.done() or not self._task.get_loop().is_running():
            self._task = asyncio.get_running_loop().create_task(self._keep(), name="presence")

    async def end(self) -> None:
        """Be present no more."""
        if self._task is not None:
            self._task.cancel()
            await call(self._presence.stop)

    async def _keep(self) -> None:
        while True:
            if not self._presence.is_kept:
                await call(self._presence.keep)
            await asyncio.sleep(KEEP_EVERY_S)
