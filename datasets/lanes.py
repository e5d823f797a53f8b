"""The lanes of a drain: one per slot held, each pulls the next item, sends it, and hands in what became of it."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from datasets.backlog import Backlog, Task
from datasets.ledger import Dispatch, Outcome
from datasets.outlook import JobView, Outlook
from datasets.planning import Action, Running, after_error
from datasets.rows import prompt_messages
from datasets.scribe import Scribe
from datasets.states import ItemState
from dpl_site.lib.http import Timeouts
from inference.dialects.base import Generation, Reply
from inference.errors import InferenceError, InvalidReply
from inference.sightings import Sightings
from inference.slots import Held
from inference.upstream import Upstream

UNSEEN_WAIT_S = 1.0
"""How long an item waits whose engine may not take it any more, until the rows have been read again."""
GIVEN_S = 0.2
"""How long a slot that was given away may take to arrive, before another is given."""

logger = logging.getLogger(__name__)


class Lanes:
    """Runs items on the slots that a drain holds.

    Guarantee: each item in hand is recorded at most once, whatever copies of it run; a cut try is put back.
    Writes through the Scribe only. On kill -9 its slots and items are free when the instance expires.
    """

    def __init__(
        self,
        *,
        backlog: Backlog,
        scribe: Scribe,
        upstream: Upstream,
        sightings: Sightings,
        clock: Callable[[], float],
        connect_timeout_s: float,
    ) -> None:
        self.outlook = Outlook()
        self.sightings = sightings
        self.active: dict[int, tuple[Held, asyncio.Task[None]]] = {}
        self.freed: list[Held] = []
        self.given: list[Held] = []
        self.wake = asyncio.Event()
        self.is_paused = False
        self.is_dry = False
        self.finished = 0
        self._lane_rests: dict[int, float] = {}
        self._give: dict[int | None, int] = {}
        self._gave_at: dict[int | None, float] = {}
        self._give_batch = 0
        self._backlog, self._scribe, self._upstream = backlog, scribe, upstream
        self._clock, self._connect_timeout_s = clock, connect_timeout_s

    def see(self, outlook: Outlook) -> None:
        """Decide by this from now on."""
        self.outlook = outlook
        self._give_batch = outlook.give_to_batch
        self.see_waiters(outlook.give_to_interactive)

    def see_waiters(self, waiting: Mapping[int | None, int]) -> None:
        """Give so many slots away, each at the end of its item; who has just been given one is on his way to it."""
        now = self._clock()
        self._give = {
            key: count
            for key, count in waiting.items()
            if now - self._gave_at.get(key, float("-inf")) > GIVEN_S
        }

    def start(self, held: Held, *, has_turn: bool = False) -> None:
        """Pull items through this slot until there are none for it, or it must be given away.

        `has_turn`: it was had because this drain had waited too long, so one item runs whoever waits.
        """
        self._run(held, self._pull(held, has_turn=has_turn))

    def start_one(self, held: Held, task: Task, *, is_alone: bool = False) -> None:
        """Run one given item through this slot: a suspect alone, or a second copy at the tail."""
        self._run(held, self._try(held, task, is_alone=is_alone))

    async def cancel(self) -> None:
        """Cut everything; what was under way is put back by whoever gives the shards back."""
        tasks = [task for _, task in self.active.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, *self.sightings.chores, return_exceptions=True)

    def jobs_for(self, engine_id: int) -> list[str]:
        """The jobs in hand whose items this engine may take, those with the fewest running first."""
        views = self.outlook.jobs
        may = [job_id for job_id, view in views.items() if not view.is_stopping and view.model_on(engine_id)]
        if len(may) < 2:
            return may
        running = Counter(task.claim.job_id for task in self._backlog.running())
        return sorted(may, key=lambda job_id: (running[job_id], job_id))

    def running(self) -> list[Running]:
        """What is under way, for the tail policy."""
        now = self._clock()
        found = []
        for task in self._backlog.running():
            view = self.outlook.jobs.get(task.claim.job_id)
            model = view.model_on(task.engine_id) if view else None
            snapshot = self.outlook.snapshots.get(task.engine_id)
            usual = self.sightings.usual_seconds(task.engine_id, model, snapshot) if model else None
            elapsed = now - task.started_at
            found.append(Running(task.work.item_id, task.engine_id, elapsed, usual, len(task.tries)))
        return found

    def _run(self, held: Held, work: Coroutine[Any, Any, None]) -> None:
        async def lane() -> None:
            try:
                await work
            finally:
                self.active.pop(held.slot_id, None)
                if held not in self.given:
                    self.freed.append(held)
                self.wake.set()

        task = asyncio.get_running_loop().create_task(lane())
        self.active[held.slot_id] = (held, task)

    async def _pull(self, held: Held, *, has_turn: bool) -> None:
        while not (self.is_paused or self.sightings.rests(held.engine_id)):
            if not has_turn and self._gives_way(held):
                return self.given.append(held)
            has_turn = False
            task = self._backlog.next_for(held.engine_id, self.jobs_for(held.engine_id))
            if task is None:
                return None
            if self._backlog.ready_total < len(self.active) and not self.is_dry:
                self.wake.set()
            await self._try(held, task)
            if pause := self._lane_rests.pop(held.slot_id, 0.0):
                await asyncio.sleep(pause)
        return None

    def _gives_way(self, held: Held) -> bool:
        """Whether this slot goes to somebody who waits: an interactive request, or a drain with fewer slots."""
        if held.slot_id in self.outlook.lost_slots:
            return True
        for key in (held.engine_id, None):
            if self._give.get(key, 0) > 0:
                self._give[key] -= 1
                self._gave_at[key] = self._clock()
                return True
        if self._give_batch > 0:
            self._give_batch -= 1
            return True
        return False

    async def _try(self, held: Held, task: Task, *, is_alone: bool = False) -> None:
        view = self.outlook.jobs.get(task.claim.job_id)
        model = view.model_on(held.engine_id) if view else None
        if view is None or model is None:
            return self._backlog.put_back(task, UNSEEN_WAIT_S)
        # Counted before the dispatch is written: the other copy's error must not put the item back meanwhile.
        task.copies += 1
        try:
            attempt = await self._attempt(held, task, view, model, is_alone=is_alone)
        finally:
            task.copies -= 1
        if attempt is not None:
            self._conclude(held, task, view, model, attempt)
        return None

    async def _attempt(
        self, held: Held, task: Task, view: JobView, model: str, *, is_alone: bool
    ) -> asyncio.Task[Reply] | None:
        """One copy of the item, from its dispatch to its end; None when it must not be sent."""
        dispatch = self._dispatch(held, task, model, is_alone)
        if not await self._scribe.dispatch(dispatch) or task.is_settled:
            return None
        attempt = asyncio.get_running_loop().create_task(self._generate(held, task, view, model))
        task.tries[held.slot_id] = attempt
        if len(task.tries) == 1:
            task.started_at, task.engine_id = self._clock(), held.engine_id
        try:
            await asyncio.wait({attempt})
        except asyncio.CancelledError:
            attempt.cancel()
            await asyncio.gather(attempt, return_exceptions=True)
            raise
        finally:
            task.tries.pop(held.slot_id, None)
        return attempt

    async def _generate(self, held: Held, task: Task, view: JobView, model: str) -> Reply:
        options = view.options
        target = self.outlook.targets[held.engine_id]
        request = Generation(
            model=model,
            messages=prompt_messages(task.work.raw, options.system),
            sampling=options.sampling,
            context=view.context_on(held.engine_id),
        )
        patience = options.timeout_s
        timeouts = Timeouts(self._connect_timeout_s, patience, patience, patience)
        return await self._upstream.generate(target, request, timeouts)

    def _conclude(
        self, held: Held, task: Task, view: JobView, model: str, attempt: asyncio.Task[Reply]
    ) -> None:
        if task.is_settled:
            if not attempt.cancelled():
                attempt.exception()
            return
        if attempt.cancelled():
            return self._backlog.put_back(task, 0.0)
        # The process survived this item, so it is not what a worker died of.
        task.work.is_suspect = False
        error = attempt.exception()
        if error is None:
            return self._succeeded(held, task, model, attempt.result())
        if not isinstance(error, InferenceError):
            logger.error("an item met a defect", exc_info=error, extra={"action": "item_defect"})
            error = InvalidReply(f"DPL could not handle the answer: {error!r}")
        return self._failed(held, task, view, model, error)

    def _succeeded(self, held: Held, task: Task, model: str, reply: Reply) -> None:
        self._backlog.settle(task)
        self.finished += 1
        self._scribe.record(
            self._outcome(
                held,
                task,
                ItemState.SUCCEEDED,
                model=model,
                reply=reply.json,
                duration_ms=reply.duration_ms,
                ttft_ms=reply.ttft_ms,
                prompt_tokens=reply.prompt_tokens,
                completion_tokens=reply.completion_tokens,
            )
        )
        self.sightings.succeeded(
            held.engine_id, model, reply, was_trial=held.engine_id in self.outlook.trials
        )

    def _failed(self, held: Held, task: Task, view: JobView, model: str, error: InferenceError) -> None:
        engine_id = held.engine_id
        self.sightings.failed(engine_id, error)
        work, allowed = task.work, view.options.attempts
        verdict = after_error(error, attempts=work.attempts, losses=work.losses, allowed=allowed)
        if verdict.rest_engine_s:
            self.sightings.rest(engine_id, verdict.rest_engine_s)
        if verdict.rest_lane_s:
            self._lane_rests[held.slot_id] = verdict.rest_lane_s
        if task.copies:
            return
        work.attempts += verdict.costs_attempt
        work.losses += verdict.is_loss
        is_final = verdict.action is Action.FAIL
        state = ItemState.FAILED if is_final else ItemState.PENDING
        text = error.engine_message or error.message
        self._scribe.record(self._outcome(held, task, state, model=model, cause=error.code, error=text))
        if is_final:
            self.finished += 1
            return self._backlog.settle(task)
        task.avoid.add(engine_id)
        if not {one.engine_id for one in view.decision.candidates} - task.avoid:
            task.avoid.clear()
        self._backlog.put_back(task, verdict.delay_s)

    def _dispatch(self, held: Held, task: Task, model: str, is_alone: bool) -> Dispatch:
        claim, engine_id = task.claim, held.engine_id
        node_id = self.outlook.targets[engine_id].node_id
        return Dispatch(task.work.item_id, claim.shard_id, claim.token, engine_id, node_id, model, is_alone)

    def _outcome(self, held: Held, task: Task, state: ItemState, **given: Any) -> Outcome:
        target = self.outlook.targets.get(held.engine_id)
        return Outcome(
            item_id=task.work.item_id,
            shard_id=task.claim.shard_id,
            job_id=task.claim.job_id,
            token=task.claim.token,
            state=state,
            attempts=task.work.attempts,
            losses=task.work.losses,
            engine_id=held.engine_id,
            node_id=target.node_id if target else None,
            **given,
        )
