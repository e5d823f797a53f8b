"""Two copies of one item at the tail: whatever order their dispatches and ends come in, one of them decides."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from datasets import lanes as lanes_module
from datasets.backlog import Backlog, Task
from datasets.claims import Claim, Work
from datasets.lanes import Lanes
from datasets.ledger import Dispatch, Outcome
from datasets.options import JobOptions
from datasets.outlook import JobView, Outlook
from datasets.states import ItemState
from dpl_site.lib.db import Threads
from inference.dialects.base import Reply
from inference.errors import EngineFailure, InferenceError
from inference.scheduling import Candidate, Decision, EngineSnapshot
from inference.sightings import Sightings
from inference.slots import Held
from inference.upstream import Target, Upstream

FAST, SLOW = 1, 2
REPLY = Reply("hello", '{"choices": []}', "stop", 1, 1)


class Script:
    """Stands for the scribe and the engines: dispatches are written and answers come when a test says so."""

    def __init__(self) -> None:
        self.outcomes: list[Outcome] = []
        self.written: dict[int, asyncio.Event] = {FAST: asyncio.Event(), SLOW: asyncio.Event()}
        self.answers: dict[int, asyncio.Future[Reply]] = {
            engine: asyncio.get_running_loop().create_future() for engine in (FAST, SLOW)
        }

    async def dispatch(self, one: Dispatch) -> bool:
        """Written when the test lets it."""
        await self.written[one.engine_id].wait()
        return True

    def record(self, one: Outcome) -> None:
        """Kept for the test to look at."""
        self.outcomes.append(one)

    async def generate(self, target: Target, *_: object) -> Reply:
        """Answered when the test lets it."""
        return await self.answers[target.engine_id]

    def fail(self, engine_id: int, error: InferenceError) -> None:
        """The engine's answer is this error."""
        self.answers[engine_id].set_exception(error)


class Tail:
    """One item, two lanes that may run it."""

    def __init__(self, attempts: int) -> None:
        self.script = Script()
        loop = asyncio.get_running_loop()
        self.backlog = Backlog(loop.time)
        self.lanes = Lanes(
            backlog=self.backlog,
            scribe=cast(Any, self.script),
            upstream=cast(Upstream, self.script),
            sightings=Sightings(Threads(1, "test"), loop.time),
            clock=loop.time,
            connect_timeout_s=1.0,
        )
        self.lanes.see(_outlook(attempts))
        self.backlog.add(Claim(1, "job", 7, [Work(100, 0, 1, '{"instruction": "hi"}')]))
        task = self.backlog.next_for(FAST, ["job"])
        assert task is not None
        self.task: Task = task

    def start(self, engine_id: int) -> None:
        """Begin a copy on this engine."""
        self.lanes.start_one(Held(engine_id, engine_id, 0, 1), self.task)

    async def both_under_way(self) -> None:
        """A copy on each engine, both sent."""
        for engine in (FAST, SLOW):
            self.script.written[engine].set()
            self.start(engine)
        await self.settle()

    async def settle(self) -> None:
        """Let everything run that can."""
        for _ in range(20):
            await asyncio.sleep(0)

    @property
    def recorded(self) -> list[ItemState]:
        """The states that were recorded, in order."""
        return [one.state for one in self.script.outcomes]


def _outlook(attempts: int) -> Outlook:
    engines = [EngineSnapshot(engine, engine, str(engine), True, resident=("m",)) for engine in (FAST, SLOW)]
    candidates = tuple(Candidate(engine, "m", 1.0) for engine in engines)
    options = JobOptions(attempts=attempts)
    view = JobView("job", options, is_stopping=False, is_aborted=False, decision=Decision(candidates, {}))
    targets = {engine: Target(engine, engine, "openai", "http://127.0.0.1:9") for engine in (FAST, SLOW)}
    return Outlook(targets=targets, jobs={"job": view})


@pytest.fixture
async def tail() -> AsyncIterator[Tail]:
    made = Tail(attempts=2)
    yield made
    await made.lanes.cancel()


async def test_a_copy_whose_dispatch_is_being_written_keeps_the_others_error_from_putting_the_item_back(
    tail: Tail,
) -> None:
    tail.script.written[FAST].set()
    tail.start(FAST)
    await tail.settle()
    tail.start(SLOW)
    await tail.settle()
    tail.script.fail(FAST, EngineFailure("boom"))
    await tail.settle()
    assert tail.recorded == []
    assert tail.backlog.next_for(SLOW, ["job"]) is None
    tail.script.written[SLOW].set()
    tail.script.answers[SLOW].set_result(REPLY)
    await tail.settle()
    assert tail.recorded == [ItemState.SUCCEEDED]
    assert tail.task.work.attempts == 0


async def test_the_error_of_the_last_copy_decides(tail: Tail) -> None:
    await tail.both_under_way()
    tail.script.fail(SLOW, EngineFailure("boom"))
    await tail.settle()
    assert tail.recorded == []
    tail.script.fail(FAST, EngineFailure("boom"))
    await tail.settle()
    assert tail.recorded == [ItemState.PENDING]
    assert tail.task.work.attempts == 1


async def test_the_first_answer_cuts_the_other_copy(tail: Tail) -> None:
    await tail.both_under_way()
    tail.script.answers[SLOW].set_result(REPLY)
    await tail.settle()
    assert tail.recorded == [ItemState.SUCCEEDED]
    assert tail.script.answers[FAST].cancelled()
    assert not tail.lanes.active


async def test_a_copy_whose_dispatch_comes_after_the_answer_is_not_sent(tail: Tail) -> None:
    tail.script.written[FAST].set()
    tail.start(FAST)
    tail.start(SLOW)
    await tail.settle()
    tail.script.answers[FAST].set_result(REPLY)
    await tail.settle()
    tail.script.written[SLOW].set()
    await tail.settle()
    assert tail.recorded == [ItemState.SUCCEEDED]
    assert not tail.script.answers[SLOW].done()
    assert not tail.task.tries


async def test_a_slot_is_given_to_who_waits_and_no_second_one_while_that_is_on_its_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lanes_module, "GIVEN_S", 3600)
    lanes = Tail(attempts=1).lanes
    lanes.see_waiters({None: 1})
    assert lanes._gives_way(Held(1, FAST, 0, 1))
    lanes.see_waiters({None: 1})
    assert not lanes._gives_way(Held(2, FAST, 1, 1))
    monkeypatch.setattr(lanes_module, "GIVEN_S", -1)
    lanes.see_waiters({None: 1})
    assert lanes._gives_way(Held(2, FAST, 1, 1))
