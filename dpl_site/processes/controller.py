"""Keeps the fleet as it should be: `manage.py controller`."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import signal
import time
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterator, Sequence
from typing import Any, NoReturn, cast

from django.db import DatabaseError, InterfaceError, connection

from dpl_site.lib.db import Threads
from dpl_site.lib.parent import watch_parent
from dpl_site.processes.complaints import Complaints
from dpl_site.processes.duties import LEAD, Duty, perform
from dpl_site.processes.presence import Presence
from nodes.leadership import NotLeading, campaign, resign

CAMPAIGN_EVERY_S = 1.0
CONFIRMED_FOR_S = 2.5
"""A duty that wrote under the lead has renewed it, so that no campaign is needed for a while."""
LONGEST_BACKOFF_S = 5.0
STOP_WITHIN_S = 1.5
LOOK_WITHIN_S = 5.0
AWAY = (DatabaseError, InterfaceError)

logger = logging.getLogger(__name__)


class Controller:
    """Campaigns for the lead each second; while it leads, does each duty at its period.

    Guarantee: as long as one controller of the installation reaches the database, every duty is done, by
    one leader at a time: the epoch of the lead is checked in each transaction that a duty writes. A duty
    that fails or takes too long is logged and delays no other. It writes its ProcessInstance row, the
    Leadership row, and what the duties write. On kill -9 its instance ends when a neighbour looks or after
    its TTL, and a stand-by leads within a second of that; a duty is then cut between transactions.
    """

    def __init__(
        self, duties: Sequence[Duty], *, at_end: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        """`at_end` closes what the duties hold open."""
        self._duties = duties
        self._at_end = at_end
        self._writing: dict[str, asyncio.Future[bool]] = {}
        self._doing: dict[str, asyncio.Task[None]] = {}
        self._presence = Presence("controller")
        self._lead_threads = Threads(1, "lead")
        self._threads = Threads(3, "duty")
        self._look_threads = Threads(1, "look")
        self._looking: asyncio.Future[dict[str, bool | Exception]] | None = None
        self._complaints = Complaints()
        self._stopping = asyncio.Event()
        self.epoch: int | None = None
        self._leads = asyncio.Event()
        self._has_resigned = False
        self._confirmed_at = 0.0
        self._candidate: uuid.UUID | None = None

    async def run(self) -> None:
        """Work until SIGTERM, SIGINT or the parent's end; then resign. In the main thread only."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        watch_parent(self._stop_from_thread(loop))
        tasks = [asyncio.create_task(self._lead()), *map(asyncio.create_task, self._rounds())]
        await self._stopping.wait()
        tasks += self._doing.values()
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks, timeout=STOP_WITHIN_S)
        await self._resign()
        if self._at_end is not None:
            await self._at_end()
        await self._close_threads()

    def stop(self) -> None:
        """End `run`; from the loop's own thread."""
        self._stopping.set()

    async def _close_threads(self) -> None:
        """Close their connections when what they do is done, unless one hangs: that one ends with the process."""
        at_work: list[asyncio.Future[Any]] = [*self._writing.values()]
        if self._looking is not None:
            at_work.append(self._looking)
        if at_work:
            await asyncio.wait(at_work, timeout=STOP_WITHIN_S)
        if self._has_resigned and all(work.done() for work in at_work):
            for threads in (self._lead_threads, self._look_threads, self._threads):
                threads.close()

    def _stop_from_thread(self, loop: asyncio.AbstractEventLoop) -> Callable[[], None]:
        def stop() -> None:
            loop.call_soon_threadsafe(self.stop)

        return stop

    # --- Leading ------------------------------------------------------------------------------------------

    async def _lead(self) -> None:
        pause_s = CAMPAIGN_EVERY_S
        while True:
            try:
                if not self._leads_surely:
                    self._follow_or_lead(await self._lead_threads.call(self._campaign))
                pause_s = CAMPAIGN_EVERY_S
                self._complaints.settled("lead")
            except AWAY as error:
                self._follow_or_lead(None)
                pause_s = min(pause_s * 2, LONGEST_BACKOFF_S)
                self._complaints.say("lead", f"the database is away: {_words(error)}")
            await asyncio.sleep(pause_s * random.uniform(0.9, 1.1))

    @property
    def _leads_surely(self) -> bool:
        """Whether a duty renewed the lead so lately, for this very instance, that nothing need be asked."""
        is_confirmed = time.monotonic() - self._confirmed_at < CONFIRMED_FOR_S
        instance_id = self._presence.instance_id if self._presence.is_kept else None
        return self.epoch is not None and is_confirmed and instance_id == self._candidate

    def _campaign(self) -> int | None:
        """The epoch of this controller's lead, None while it has none. In a thread: it asks the database."""
        heartbeat = self._presence.keep()
        if heartbeat is None or heartbeat.is_late:
            connection.ensure_connection()  # says what is wrong with the database, if anything is
            return None
        self._candidate = heartbeat.id
        return campaign(name=LEAD, instance_id=heartbeat.id)

    def _follow_or_lead(self, epoch: int | None) -> None:
        """Lead under this epoch from now on, or follow. In the loop: duties wait for it."""
        if epoch == self.epoch:
            return
        self.epoch = epoch
        if epoch is None:
            self._leads.clear()
            logger.warning("this controller leads no more", extra={"action": "following"})
        else:
            self._leads.set()
            logger.info("this controller leads, epoch %d", epoch, extra={"action": "leading"})

    async def _resign(self) -> None:
        instance_id = self._presence.instance_id
        try:
            async with asyncio.timeout(STOP_WITHIN_S):
                if self.epoch is not None and instance_id is not None:
                    await self._lead_threads.call(resign, name=LEAD, instance_id=instance_id)
                await self._lead_threads.call(self._presence.stop)
            self._has_resigned = True
        except (*AWAY, TimeoutError) as error:
            logger.warning("cannot resign (%s); the lead expires by itself", error)

    # --- Duties -------------------------------------------------------------------------------------------

    def _rounds(self) -> Iterator[Coroutine[Any, Any, None]]:
        """The loops that keep the duties: one for each period, for the leader's and for everybody's."""
        kinds = {(duty.period_s, duty.is_everybodys) for duty in self._duties}
        for period_s, is_everybodys in sorted(kinds):
            duties = [d for d in self._duties if (d.period_s, d.is_everybodys) == (period_s, is_everybodys)]
            yield self._keep(duties, period_s, is_everybodys=is_everybodys)

    async def _keep(self, duties: Sequence[Duty], period_s: float, *, is_everybodys: bool) -> None:
        """Do duties at their period, for ever, none waiting for another; a late one is not made up for."""
        due = time.monotonic() + random.uniform(0, min(period_s, 1.0))
        while True:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            if not is_everybodys:
                # A new leader does at once what its predecessor may have missed, however long the period.
                await self._leads.wait()
            for duty in await self._needed([one for one in duties if self._is_free(one)]):
                self._doing[duty.name] = asyncio.create_task(self._try(duty))
            due = max(due + period_s, time.monotonic())

    def _is_free(self, duty: Duty) -> bool:
        """Whether it is not being done. A thread cannot be cut: one that is still at it is waited for."""
        work = self._doing.get(duty.name), self._writing.get(duty.name)
        return all(one is None or one.done() for one in work)

    async def _needed(self, duties: Sequence[Duty]) -> list[Duty]:
        """Those that have something to do; all of them are looked at in one thread, quickly."""
        found = await self._look([duty for duty in duties if duty.is_needed is not None])
        for name, error in found.items():
            if isinstance(error, Exception):
                self._complain(name, error)
        return [duty for duty in duties if duty.is_needed is None or found.get(duty.name) is True]

    async def _look(self, duties: Sequence[Duty]) -> dict[str, bool | Exception]:
        """What a look at each says; nothing of any of them while an earlier look hangs."""
        if not duties or not (self._looking is None or self._looking.done()):
            return {}
        self._looking = asyncio.ensure_future(self._look_threads.call(_look, duties))
        try:
            async with asyncio.timeout(LOOK_WITHIN_S):
                found = await asyncio.shield(self._looking)
        except TimeoutError:
            self._complaints.say("looking for work", f"it took longer than {LOOK_WITHIN_S:g} s")
            return {}
        self._complaints.settled("looking for work")
        return found

    async def _try(self, duty: Duty) -> None:
        epoch = self.epoch
        try:
            await self._do(duty, epoch)
            self._complaints.settled(duty.name)
        except NotLeading:
            if self.epoch == epoch:
                self._follow_or_lead(None)
        except TimeoutError:
            self._complaints.say(duty.name, f"it took longer than {duty.bound_s:g} s")
        except Exception as error:
            self._complain(duty.name, error)

    def _complain(self, name: str, error: Exception) -> None:
        if isinstance(error, AWAY):
            self._complaints.say(name, f"the database failed: {_words(error)}")
        else:
            self._complaints.say(name, f"{type(error).__name__}: {error}", error)

    async def _do(self, duty: Duty, epoch: int | None) -> None:
        async with asyncio.timeout(duty.bound_s):
            if duty.gather is None:
                await self._write(duty, epoch)
                return
            generator = cast(AsyncGenerator[Any, None], duty.gather())
            async with contextlib.aclosing(generator) as found:
                async for one in found:
                    await self._write(duty, epoch, one)

    async def _write(self, duty: Duty, epoch: int | None, *given: Any) -> None:
        work = asyncio.ensure_future(self._threads.call(perform, duty, epoch, *given))
        self._writing[duty.name] = work
        if await asyncio.shield(work):
            self._confirmed_at = time.monotonic()


def _look(duties: Sequence[Duty]) -> dict[str, bool | Exception]:
    """By name: whether each is needed, or why that cannot be told."""
    found: dict[str, bool | Exception] = {}
    for duty in duties:
        try:
            found[duty.name] = duty.is_needed is not None and bool(duty.is_needed())
        except Exception as error:
            found[duty.name] = error
    return found


def _words(error: Exception) -> str:
    """What an error says, on one line."""
    return " ".join(str(error).split())


def control(controller: Controller) -> NoReturn:
    """Run a controller, and leave at once when it has stopped."""
    asyncio.run(controller.run())
    logging.shutdown()
    os._exit(0)  # a thread that waits for the database must not hold the process
