"""Runs the watch over the controller beside the requests of a web process."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from uuid import UUID

from django.db import DatabaseError, InterfaceError

from alerts.watch import ControllerWatch
from dpl_site.lib.db import call
from dpl_site.processes.complaints import Complaints
from dpl_site.processes.notifying import Postman, record

LOOK_EVERY_S = 5.0

logger = logging.getLogger(__name__)


class WatchLoop:
    """Looks every few seconds whether a controller leads; when none does, raises the alert and sends it.

    Guarantee: as long as one web process lives and reaches the database, a silent controller is told of. Writes
    what `ControllerWatch` and `Postman` write. On kill -9 another web process goes on from rows.
    """

    def __init__(self, instance_id: Callable[[], UUID | None]) -> None:
        self._instance_id = instance_id
        self._watch = ControllerWatch()
        self._postman = Postman()
        self._complaints = Complaints()
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Watch from now on; a second time changes nothing."""
        # Asked before each request; asking for the running loop would be a call of the system.
        if self._task is None or self._task.done() or not self._task.get_loop().is_running():
            self._task = asyncio.get_running_loop().create_task(self._keep(), name="watch")

    async def end(self) -> None:
        """Watch no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        await self._postman.close()

    async def once(self) -> None:
        """Look once, and send what waits where that is to be done here."""
        instance_id = self._instance_id()
        if instance_id is not None and await call(self._watch.look, instance_id):
            async for outcome in self._postman.outcomes():
                await call(record, outcome)

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY_S * random.uniform(0.8, 1.2))
            try:
                await self.once()
                self._complaints.settled("watch")
            except (DatabaseError, InterfaceError) as error:
                self._complaints.say("watch", f"the database failed: {' '.join(str(error).split())}")
            except Exception as error:
                self._complaints.say("watch", f"{type(error).__name__}: {error}", error)
