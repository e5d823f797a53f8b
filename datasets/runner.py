"""A drain: one worker process that works through shards over every eligible engine until none are left."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import time
from collections.abc import Sequence

from django.conf import settings
from django.db import DatabaseError, InterfaceError

from datasets import claims
from datasets.backlog import Backlog
from datasets.filling import SHORT_STEP_S, STEP_S, SlotFiller
from datasets.lanes import Lanes
from datasets.ledger import Committed
from datasets.outlook import interactive_waiters, look
from datasets.planning import fetch_ahead
from datasets.scribe import Scribe
from datasets.usage import ItemUsage, record_usage
from dpl_site.lib.db import Threads, retrying
from inference import slots, speeds
from inference.sightings import Sightings
from inference.upstream import Upstream
from nodes.instances import Heartbeat

LOOK_S = 0.5
WAITERS_S = 0.1
"""How often a drain looks whether somebody waits before a screen: an item's end is for him."""
LONGEST_S = 12 * 3600.0
"""After this a drain takes no more shards and ends with those in hand, well before the queue's own time limit."""
LINGER_S = 2.0
"""A drain with nothing to do stays this long, so that the next job starts at once."""
FIGURES_EVERY_S = 1.0
"""How often measured speeds and usage are written; what came since then is lost on kill -9."""
JOBS_IN_HAND = 8
GIVE_EVERY_S = 5.0
EXPECTANT_S = 1.0
EXPECTANT_STEP_S = 0.05
"""A drain is called when a job is made: until its first rows are imported, a moment later, it looks often."""

logger = logging.getLogger(__name__)


class Drain:
    """Claims shards by token, runs their items on whichever slot is free, records what became of them.

    Guarantee: at-least-once execution, exactly-once recording. It writes Shard, Item and ItemOutput rows
    (through `claims` and the Scribe), Slot and SlotWaiter rows (through `slots`) and its heartbeat. On
    kill -9 its instance expires; the next claim of its shards finds what ran, marks it suspect and runs it
    again, alone. On SIGTERM it cuts what runs, gives everything back and ends within a second or two.
    """

    def __init__(self, heartbeat: Heartbeat, *, linger_s: float = LINGER_S) -> None:
        self._heartbeat, self._linger_s = heartbeat, linger_s
        self._threads = Threads(3, "drain")
        self._closing = False
        self._looked_at = self._flushed_at = self._none_at = -1e9
        self._pace, self._counted = 0.0, 0
        self._usage = ItemUsage()

    def run(self) -> str:
        """Work until nothing is left; a sentence on what was done."""
        asyncio.run(self._main())
        return f"{self._lanes.finished} items finished"

    async def _main(self) -> None:
        self._clock = time.monotonic
        self._born = self._busy_at = self._clock()
        self._backlog = Backlog(self._clock)
        self._scribe = Scribe(self._threads, self._committed)
        self._upstream = Upstream(on_chat_path_missing=self._chat_path_missing)
        self._lanes = Lanes(
            backlog=self._backlog,
            scribe=self._scribe,
            upstream=self._upstream,
            sightings=Sightings(self._threads, self._clock),
            clock=self._clock,
            connect_timeout_s=settings.DPL_CONNECT_TIMEOUT_S,
        )
        self._filler = SlotFiller(
            lanes=self._lanes,
            backlog=self._backlog,
            threads=self._threads,
            instance_id=self._heartbeat.id,
            clock=self._clock,
        )
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._close)
        beside = [loop.create_task(self._scribe.run()), loop.create_task(self._watch_waiters())]
        try:
            while not self._is_over():
                await self._step()
                await self._nap()
        finally:
            await self._end(beside)
            loop.remove_signal_handler(signal.SIGTERM)

    def _close(self) -> None:
        self._closing = True
        self._lanes.wake.set()

    def _is_over(self) -> bool:
        if self._closing or self._heartbeat.is_lost or self._scribe.problem:
            return True
        if self._backlog.shards or self._lanes.active:
            self._busy_at = self._clock()
        return self._clock() - self._busy_at > self._linger_s

    @property
    def _step_s(self) -> float:
        is_expectant = not self._backlog.shards and self._clock() - self._born < EXPECTANT_S
        if is_expectant:
            return EXPECTANT_STEP_S
        return SHORT_STEP_S if self._filler.is_waiting else STEP_S

    async def _nap(self) -> None:
        try:
            async with asyncio.timeout(self._step_s):
                await self._lanes.wake.wait()
        except TimeoutError:
            pass
        self._lanes.wake.clear()

    async def _step(self) -> None:
        await self._claim_shards()
        await self._look()
        await self._obey_stops()
        if self._heartbeat.is_late:
            self._lanes.is_paused = True
        else:
            await self._filler.fill()
            await self._filler.work_the_tail()
        await self._filler.release()
        await self._flush_figures()

    async def _look(self) -> None:
        """Read fleet and jobs again when it is time, or when a job came in that was not seen yet."""
        unseen = any(job_id not in self._lanes.outlook.jobs for job_id in self._backlog.job_ids)
        if not unseen and self._clock() - self._looked_at < LOOK_S:
            return
        outlook = await self._threads.call(
            look,
            instance_id=self._heartbeat.id,
            job_ids=self._backlog.job_ids,
            held=[held for held, _ in self._lanes.active.values()],
            now=time.time(),
            may_give=self._clock() - self._filler.gave_at > GIVE_EVERY_S,
        )
        self._measure_pace()
        self._looked_at = self._clock()
        if outlook.give_to_batch:
            self._filler.gave_at = self._clock()
        self._lanes.see(outlook)

    def _measure_pace(self) -> None:
        """Items per second since the last look."""
        passed_s = self._clock() - self._looked_at
        self._pace = (self._lanes.finished - self._counted) / passed_s
        self._counted = self._lanes.finished

    async def _claim_shards(self) -> None:
        """Fetch the next shard of each job while the last one still runs, before the lanes run dry."""
        enough = fetch_ahead(len(self._lanes.active), self._pace)
        if self._clock() - self._born > LONGEST_S:
            return
        while True:
            have = {job_id: self._backlog.ready_count(job_id) for job_id in self._backlog.job_ids}
            full = {job_id for job_id, ready in have.items() if ready >= enough}
            is_fed = bool(have) and len(full) == len(have)
            if (is_fed or self._lanes.is_dry) and self._clock() - self._none_at < self._step_s:
                return
            claim = await self._threads.call(
                claims.claim_shard,
                instance_id=self._heartbeat.id,
                except_jobs=full | self._blocked_jobs(),
                only_jobs=set(have) if len(have) >= JOBS_IN_HAND else None,
            )
            self._lanes.is_dry = claim is None and not full
            if claim is None:
                self._none_at = self._clock()
                return
            if claim.work:
                self._backlog.add(claim)
            else:
                await self._threads.call(claims.give_back, shard_id=claim.shard_id, token=claim.token)

    def _blocked_jobs(self) -> set[str]:
        """Jobs in hand that no engine may work on now: more of their shards would help nobody."""
        return {job_id for job_id, view in self._lanes.outlook.jobs.items() if not view.decision.candidates}

    async def _obey_stops(self) -> None:
        """Stopping jobs start nothing; aborted ones are cut; a shard with nothing running is given back."""
        for view in self._lanes.outlook.jobs.values():
            if view.is_stopping:
                self._backlog.hold_back(view.job_id)
                for shard_id, held in list(self._backlog.shards.items()):
                    runs = any(task.tries for task in held.tasks.values())
                    if held.claim.job_id == view.job_id and (view.is_aborted or not runs):
                        await self._give_back(shard_id)

    async def _give_back(self, shard_id: int) -> None:
        token = self._backlog.shards[shard_id].claim.token
        self._backlog.drop(shard_id)
        await self._scribe.settled()
        await self._threads.call(claims.give_back, shard_id=shard_id, token=token)

    async def _flush_figures(self) -> None:
        if self._clock() - self._flushed_at < FIGURES_EVERY_S:
            return
        self._flushed_at = self._clock()
        sums = self._usage.take()
        if sums:
            await self._threads.call(retrying, lambda: record_usage(sums=sums))
        tallies = self._lanes.sightings.take_tallies()
        if tallies:
            await self._threads.call(speeds.record, tallies=tallies)

    def _committed(self, done: Committed) -> None:
        self._usage.add(done.moved)
        for shard_id in done.lost | done.done:
            self._backlog.drop(shard_id)

    def _chat_path_missing(self, engine_id: int) -> None:
        self._lanes.sightings.chore(slots.note_chat_path_missing, engine_id=engine_id)

    async def _watch_waiters(self) -> None:
        """Between two looks; a database that is away shows at the next of these."""
        while True:
            await asyncio.sleep(WAITERS_S)
            if self._lanes.active:
                with contextlib.suppress(DatabaseError, InterfaceError):
                    self._lanes.see_waiters(await self._threads.call(interactive_waiters))

    async def _end(self, beside: Sequence[asyncio.Task[None]]) -> None:
        """Cut what runs and give back what is held; a process that lost its heartbeat owns nothing to give."""
        await self._lanes.cancel()
        if not self._heartbeat.is_lost and not self._scribe.problem:
            await self._scribe.settled()
            for shard_id in list(self._backlog.shards):
                await self._give_back(shard_id)
            await self._filler.release()
            await self._filler.wait_no_more()
            self._flushed_at = -1e9
            await self._flush_figures()
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)
        await self._upstream.close()
        self._threads.close()
        if self._scribe.problem:
            raise self._scribe.problem
