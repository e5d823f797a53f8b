"""The slots that a web process holds: taken for requests, used again and again, given back when they lie idle.

Async. The database sees a claim when a slot changes its process, not with each request.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections import Counter, deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from django.db import DatabaseError, InterfaceError

from dpl_site.lib.db import call
from inference import slots
from inference.slots import AGED, BATCH, INTERACTIVE, Held

IDLE_S = 1.0
"""How long an idle slot is kept for the next request."""
IDLE_WHEN_WANTED_S = 0.1
"""The same while drains wait for one: long enough for a client that asks again at once, and no longer."""
SHARE_S = 1.0
"""How long a slot is used again and again while another process waits for one."""
KEEP_OFF_S = 0.15
CHECK_S = 0.5
LOOK_S = 0.025
"""How often a slot is asked for while requests wait."""

logger = logging.getLogger(__name__)


class QueueFull(Exception):
    """As many requests wait as may."""


class WaitedTooLong(Exception):
    """No slot became free in time."""


class NotRegistered(Exception):
    """This process has no living instance, so it may hold nothing."""


@dataclass(slots=True, eq=False)
class _Waiter:
    """A request that waits for a slot of one of these engines, the best first."""

    engine_ids: Sequence[int]
    future: asyncio.Future[Held]


class SlotPool:
    """Hands slots to requests, the longest waiting first.

    Guarantee: each request in an engine holds one slot row of it, so all processes together never have more
    in flight than it has slots. It writes Slot and SlotWaiter rows through `slots`. On kill -9 what it holds is
    free when the instance expires.
    """

    def __init__(
        self,
        instance_id: Callable[[], uuid.UUID | None],
        *,
        most_waiting: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`most_waiting`: how many requests may wait at once."""
        self._instance_id, self._most_waiting, self._clock = instance_id, most_waiting, clock
        self._owner: uuid.UUID | None = None
        self._mine: dict[Held, float] = {}
        self._idle: dict[int, list[tuple[Held, float]]] = {}
        self._busy: Counter[int] = Counter()
        self._returning: list[Held] = []
        self._off_until = float("-inf")
        self._queue: deque[_Waiter] = deque()
        self._is_wanted = False
        self._idle_s = IDLE_S
        self._looked_at = float("-inf")
        self._wake = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None

    @property
    def busy(self) -> Mapping[int, int]:
        """Engine → requests of this process in it now."""
        return self._busy

    @property
    def waiting(self) -> int:
        """How many requests wait."""
        return len(self._queue)

    def held(self) -> dict[int, int]:
        """Engine → slots that this process holds, idle ones too."""
        return dict(self._busy + Counter({engine: len(kept) for engine, kept in self._idle.items()}))

    async def take(self, engine_ids: Sequence[int], *, patience_s: float) -> Held:
        """A slot of the first of these engines that has one. Raises QueueFull, WaitedTooLong or NotRegistered."""
        self._be_registered()
        held = self._from_idle(engine_ids)
        if held is not None:
            return held
        if len(self._queue) >= self._most_waiting:
            raise QueueFull
        waiter = _Waiter(engine_ids, asyncio.get_running_loop().create_future())
        self._queue.append(waiter)
        self._keep()
        try:
            async with asyncio.timeout(patience_s):
                return await waiter.future
        except TimeoutError:
            self._abandon(waiter)
            raise WaitedTooLong from None
        except asyncio.CancelledError:
            self._abandon(waiter)
            raise
        finally:
            self._queue = deque(one for one in self._queue if one is not waiter)

    def give(self, held: Held, *, is_sound: bool = True) -> None:
        """A request is over: its slot goes to who waits, else it is kept for a moment.

        Not `is_sound`: the engine may be gone, so the slot goes back to the rows with the next round.
        """
        self._busy[held.engine_id] -= 1
        if not self._busy[held.engine_id]:
            del self._busy[held.engine_id]
        if held in self._mine and is_sound and not self._is_owed(held):
            if not self._hand_on(held):
                self._idle.setdefault(held.engine_id, []).append((held, self._clock()))
            return self._keep(at_once=False)
        self._returning.append(held)
        return self._keep()

    async def close(self) -> None:
        """Give everything back."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        await self._release([*self._take_idle(older_than_s=-1.0), *self._returning])

    # --- In memory ----------------------------------------------------------------------------------------

    def _be_registered(self) -> uuid.UUID:
        """This process's instance. What an earlier one held is forgotten: it expired, and others may have it by now.

        Raises NotRegistered.
        """
        owner = self._instance_id()
        if owner is None:
            raise NotRegistered
        if owner != self._owner:
            self._owner = owner
            self._mine.clear()
            self._idle.clear()
        return owner

    def _is_owed(self, held: Held) -> bool:
        """Whether another process waits, and this one has had the slot for its time."""
        return self._is_wanted and self._clock() - self._mine[held] > SHARE_S

    def _from_idle(self, engine_ids: Sequence[int]) -> Held | None:
        for engine_id in engine_ids:
            kept = self._idle.get(engine_id)
            if kept:
                held, _ = kept.pop()
                self._busy[engine_id] += 1
                return held
        return None

    def _hand_on(self, held: Held) -> bool:
        """Give a slot to the first request that waits for its engine; whether there was one."""
        for waiter in self._queue:
            if held.engine_id in waiter.engine_ids and not waiter.future.done():
                waiter.future.set_result(held)
                self._busy[held.engine_id] += 1
                return True
        return False

    def _abandon(self, waiter: _Waiter) -> None:
        """The request has left; a slot that came at the same moment goes to the next."""
        if waiter.future.done() and not waiter.future.cancelled():
            self.give(waiter.future.result())

    def _take_idle(self, *, older_than_s: float) -> list[Held]:
        """What has been idle for so long, taken out."""
        limit = self._clock() - older_than_s
        taken = [held for kept in self._idle.values() for held, since in kept if since <= limit]
        gone = {held.slot_id for held in taken}
        self._idle = {
            engine_id: left
            for engine_id, kept in self._idle.items()
            if (left := [(held, since) for held, since in kept if held.slot_id not in gone])
        }
        return taken

    # --- With the rows ------------------------------------------------------------------------------------

    def _keep(self, *, at_once: bool = True) -> None:
        if at_once:
            self._wake.set()
        if self._keeper is None or self._keeper.done():
            self._keeper = asyncio.get_running_loop().create_task(self._run(), name="slots")

    async def _run(self) -> None:
        """Claim for those who wait, give back what is idle; ends when there is neither."""
        is_known_to_wait = False
        while self._queue or self._mine or self._returning:
            try:
                await self._check()
                await self._return_what_is_owed()
                if self._queue and not await self._claim() and not is_known_to_wait:
                    is_known_to_wait = await self._say_waiting()
                if not self._queue and is_known_to_wait:
                    is_known_to_wait = await self._say_no_more()
                await self._release(self._take_idle(older_than_s=self._idle_s))
            except NotRegistered:
                logger.debug("no slots are claimed while this process is not registered")
            except (DatabaseError, InterfaceError) as error:
                logger.warning("slots cannot be claimed now: %s", " ".join(str(error).split()))
            await self._rest()
        if is_known_to_wait:
            await self._say_no_more()

    async def _rest(self) -> None:
        self._wake.clear()
        try:
            async with asyncio.timeout(LOOK_S if self._queue else min(CHECK_S, self._idle_s)):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _return_what_is_owed(self) -> None:
        """Give back what others are to have, and claim nothing for a moment, so that they get it."""
        returning, self._returning = self._returning, []
        if returning:
            self._off_until = self._clock() + KEEP_OFF_S
            await self._release(returning)

    async def _check(self) -> None:
        """Forget slots that were taken away or retired, and see whether another process waits."""
        if self._clock() - self._looked_at < CHECK_S or self._owner is None:
            return
        self._looked_at = self._clock()
        kept = await call(slots.still_held, held=list(self._mine))
        gone = {held for held in self._mine if held.slot_id not in kept}
        self._mine = {held: since for held, since in self._mine.items() if held not in gone}
        # A retired slot is given back as any other; what another has by now stays his, by its token.
        self._returning += [held for idle in self._idle.values() for held, _ in idle if held in gone]
        self._idle = {
            engine_id: [(held, since) for held, since in idle if held not in gone]
            for engine_id, idle in self._idle.items()
        }
        others = await call(slots.others_wait, instance_id=self._owner)
        self._is_wanted = bool(others & {INTERACTIVE, AGED})
        self._idle_s = IDLE_WHEN_WANTED_S if BATCH in others else IDLE_S

    async def _claim(self) -> bool:
        """One claim for all who wait for the same engines as the first; whether it brought anything."""
        owner = self._be_registered()
        if self._clock() < self._off_until:
            return False
        first = self._queue[0]
        alike = sum(1 for waiter in self._queue if waiter.engine_ids == first.engine_ids)
        got = await call(
            slots.claim,
            engine_ids=first.engine_ids,
            instance_id=owner,
            work_class=INTERACTIVE,
            limit=alike,
        )
        for held in got:
            self._mine[held] = self._clock()
            if not self._hand_on(held):
                self._idle.setdefault(held.engine_id, []).append((held, self._clock()))
        return bool(got)

    async def _say_waiting(self) -> bool:
        """Let drains and other processes see it: they give way at the end of an item or request."""
        if self._owner is not None:
            await call(slots.wait, instance_id=self._owner, work_class=INTERACTIVE)
        return True

    async def _say_no_more(self) -> bool:
        if self._owner is not None:
            await call(slots.stop_waiting, instance_id=self._owner, work_class=INTERACTIVE)
        return False

    async def _release(self, given: Collection[Held]) -> None:
        if given:
            for held in given:
                self._mine.pop(held, None)
            await call(slots.release, held=list(given))
