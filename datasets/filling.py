"""Which slots a drain claims and which lanes it starts: fill, reuse, share, suspects alone, the tail."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection

from datasets.backlog import Backlog
from datasets.lanes import Lanes
from datasets.planning import Idle, tail_reissues
from dpl_site.lib.db import Threads
from inference import slots
from inference.slots import AGED, BATCH, Held

STEP_S = 0.25
"""How long a suspect that finds no slot waits; also the drain's step."""
SHORT_STEP_S = 0.1
"""The drain's step while there are more items than slots: one that comes free is not idle for long."""
KEEP_OFF_S = 1.0
"""After giving slots away a drain claims none for so long, so that those who wait get them."""
AGE_S = 20.0
"""A drain that has had no slot for so long gets one before interactive requests, for one item."""


class SlotFiller:
    """Keeps a drain's slots at work. Holds nothing that matters: the Slot rows do."""

    def __init__(
        self,
        *,
        lanes: Lanes,
        backlog: Backlog,
        threads: Threads,
        instance_id: uuid.UUID,
        clock: Callable[[], float],
    ) -> None:
        self._lanes, self._backlog, self._threads = lanes, backlog, threads
        self._instance_id, self._clock = instance_id, clock
        self.is_waiting = False
        self._hungry_since: float | None = None
        self._aged_for: frozenset[int] = frozenset()
        self._wanted: set[int] = set()
        self.gave_at = -1e9

    async def fill(self) -> None:
        """Start a lane for each slot that can be had and used."""
        lanes = self._lanes
        lanes.is_paused = self._backlog.has_suspects
        self._wanted.clear()
        if lanes.is_paused:
            await self._run_suspect()
            return await self._age(is_hungry=not lanes.active)
        self._reuse_freed()
        if self._clock() - self.gave_at < KEEP_OFF_S:
            return None
        short = False
        for job_id in self._backlog.job_ids:
            for avoid, wanted in self._backlog.ready_groups(job_id).items():
                got = await self._claim_slots(job_id, wanted, avoid)
                short |= len(got) < wanted
                for held in got:
                    lanes.start(held, has_turn=bool(self._aged_for))
        await self.wait_for_slots(short)
        return await self._age(is_hungry=short and not lanes.active)

    async def _age(self, *, is_hungry: bool) -> None:
        """Say that this drain has waited too long, for as long as it has no slot."""
        if not is_hungry:
            self._hungry_since = None
            wanted: frozenset[int] = frozenset()
        else:
            self._hungry_since = self._clock() if self._hungry_since is None else self._hungry_since
            has_aged = self._clock() - self._hungry_since >= AGE_S
            wanted = frozenset(self._wanted) if has_aged else frozenset()
        if wanted != self._aged_for:
            self._aged_for = wanted
            await self._threads.call(slots.wait_aged, instance_id=self._instance_id, engine_ids=wanted)

    def _reuse_freed(self) -> None:
        """A lane that ran dry goes on when there is work again, unless its slot was given away."""
        freed, self._lanes.freed = self._lanes.freed, []
        for held in freed:
            ready = self._backlog.has_for(held.engine_id, self._lanes.jobs_for(held.engine_id))
            kept = held.slot_id not in self._lanes.outlook.lost_slots
            if (
                ready
                and kept
                and not self._lanes.sightings.rests(held.engine_id)
                and self._clock() - self.gave_at > KEEP_OFF_S
            ):
                self._lanes.start(held)
            else:
                self._lanes.freed.append(held)

    async def _run_suspect(self) -> None:
        """One suspect item at a time, when nothing else runs in this process, so that a death tells something."""
        if self._lanes.active:
            return
        task = self._backlog.next_suspect()
        if task is None:
            return
        got = await self._claim_slots(task.claim.job_id, 1, task.avoid)
        if got:
            self._lanes.start_one(got[0], task, is_alone=True)
        else:
            self._backlog.put_back(task, STEP_S)

    async def _claim_slots(self, job_id: str, wanted: int, avoid: Collection[int]) -> list[Held]:
        view = self._lanes.outlook.jobs.get(job_id)
        if view is None or wanted < 1:
            return []
        candidates = [one.engine_id for one in view.decision.candidates]
        engines = [one for one in candidates if one not in avoid and not self._lanes.sightings.rests(one)]
        self._wanted.update(engines)
        tried = self._lanes.outlook.trials
        got = await self._claim([one for one in engines if one not in tried], wanted)
        for engine_id in engines:
            if engine_id in tried and len(got) < wanted and not self._has_lane(engine_id):
                got += await self._claim([engine_id], 1)
        return got

    def _has_lane(self, engine_id: int) -> bool:
        """Whether something of this drain runs there: an engine on trial gets one item until it has answered."""
        return any(held.engine_id == engine_id for held, _ in self._lanes.active.values())

    async def _claim(self, engine_ids: list[int], limit: int) -> list[Held]:
        return await self._threads.call(
            slots.claim,
            engine_ids=engine_ids,
            instance_id=self._instance_id,
            work_class=AGED if self._aged_for else BATCH,
            limit=1 if self._aged_for else limit,
        )

    async def wait_no_more(self) -> None:
        """This drain ends."""
        await self.wait_for_slots(False)
        await self._age(is_hungry=False)

    async def wait_for_slots(self, is_short: bool) -> None:
        if is_short == self.is_waiting:
            return
        self.is_waiting = is_short
        service = slots.wait if is_short else slots.stop_waiting
        await self._threads.call(service, instance_id=self._instance_id, work_class=BATCH)

    async def work_the_tail(self) -> None:
        """Nothing left to pull: run the oldest running items a second time on idle slots; the first result wins."""
        lanes = self._lanes
        if not lanes.is_dry or lanes.is_paused or self._backlog.ready_total or not lanes.active:
            return
        running = {task.work.item_id: task for task in self._backlog.running()}
        for reissue in tail_reissues(lanes.running(), self._idle_engines()):
            task = running[reissue.item_id]
            if task.is_settled or reissue.engine_id in task.avoid:
                continue
            for held in await self._claim([reissue.engine_id], 1):
                lanes.start_one(held, task)

    def _idle_engines(self) -> list[Idle]:
        found: dict[int, Idle] = {}
        for view in self._lanes.outlook.jobs.values():
            for one in view.decision.candidates:
                snapshot = self._lanes.outlook.snapshots[one.engine_id]
                free = snapshot.slots - snapshot.in_flight
                if free > 0 and not self._lanes.sightings.rests(one.engine_id):
                    usual = self._lanes.sightings.usual_seconds(one.engine_id, one.model, snapshot)
                    found[one.engine_id] = Idle(one.engine_id, free, usual)
        return list(found.values())

    async def release(self) -> None:
        """Idle slots go back at once."""
        freed, self._lanes.freed, self._lanes.given = self._lanes.freed + self._lanes.given, [], []
        if freed:
            await self._threads.call(slots.release, held=freed)
