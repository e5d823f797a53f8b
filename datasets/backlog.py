"""The items a drain has in hand: which comes next for which engine, which wait, which are suspect. In memory only.

Nothing here is the truth: the rows are, and a lost backlog is claimed again by another drain.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from datasets.claims import Claim, Work
from datasets.planning import QUIET_S
from inference.dialects.base import Reply


@dataclass(slots=True, eq=False)
class Task:
    """One item in hand: when it may start, engines that it avoids, and its tries under way by slot id."""

    work: Work
    claim: Claim
    ready_at: float = 0.0
    avoid: set[int] = field(default_factory=set)
    tries: dict[int, asyncio.Task[Reply]] = field(default_factory=dict)
    copies: int = 0
    started_at: float = 0.0
    engine_id: int = 0
    is_settled: bool = False


@dataclass(slots=True, eq=False)
class Held:
    """A shard in hand and its items by id."""

    claim: Claim
    tasks: dict[int, Task]


class Backlog:
    """All shards in hand. `clock` gives monotonic seconds; `born` is when the drain began."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._born = clock()
        self.shards: dict[int, Held] = {}
        self._ready: dict[str, deque[Task]] = {}
        self._suspects: deque[Task] = deque()
        self._later: list[Task] = []

    def add(self, claim: Claim) -> None:
        """Take a claimed shard in hand."""
        held = Held(claim, {work.item_id: Task(work, claim) for work in claim.work})
        self.shards[claim.shard_id] = held
        for task in held.tasks.values():
            self._file(task)

    def drop(self, shard_id: int) -> None:
        """Forget a shard: it is done, lost or given back. Tries under way are cut."""
        held = self.shards.pop(shard_id, None)
        if held is None:
            return
        gone = set(map(id, held.tasks.values()))
        for queue in (*self._ready.values(), self._suspects):
            kept = [task for task in queue if id(task) not in gone]
            queue.clear()
            queue.extend(kept)
        self._later = [task for task in self._later if id(task) not in gone]
        for task in held.tasks.values():
            task.is_settled = True
            for attempt in task.tries.values():
                attempt.cancel()

    def settle(self, task: Task) -> None:
        """The item is recorded: forget it, and cut the other tries."""
        task.is_settled = True
        held = self.shards.get(task.claim.shard_id)
        if held:
            held.tasks.pop(task.work.item_id, None)
        for attempt in task.tries.values():
            attempt.cancel()

    def put_back(self, task: Task, delay_s: float) -> None:
        """The item is to be tried again, not before the delay is over."""
        task.ready_at = self._clock() + delay_s
        self._file(task)

    def hold_back(self, job_id: str) -> None:
        """A stopping job starts nothing more."""
        self._ready.pop(job_id, None)
        self._suspects = deque(task for task in self._suspects if task.claim.job_id != job_id)
        self._later = [task for task in self._later if task.claim.job_id != job_id]

    def next_for(self, engine_id: int, jobs: Iterable[str]) -> Task | None:
        """The next item of these jobs that this engine may take; None when there is none."""
        self._ripen()
        queues = (self._ready[job_id] for job_id in jobs if job_id in self._ready)
        for queue in queues:
            for _ in range(len(queue)):
                task = queue.popleft()
                if engine_id not in task.avoid:
                    return task
                queue.append(task)
        return None

    def next_suspect(self) -> Task | None:
        """The next suspect item that may run alone now."""
        for _ in range(len(self._suspects)):
            task = self._suspects.popleft()
            if self._may_run_alone(task):
                return task
            self._suspects.append(task)
        return None

    @property
    def has_suspects(self) -> bool:
        """Whether a suspect item may run now, alone."""
        return any(self._may_run_alone(task) for task in self._suspects)

    def ready_count(self, job_id: str) -> int:
        """Items of a job that could start now."""
        self._ripen()
        return len(self._ready.get(job_id, ()))

    def ready_groups(self, job_id: str) -> Counter[frozenset[int]]:
        """How many items of a job could start now, by the engines that they avoid."""
        self._ripen()
        return Counter(frozenset(task.avoid) for task in self._ready.get(job_id, ()))

    def has_for(self, engine_id: int, job_ids: Iterable[str]) -> bool:
        """Whether `next_for` would find an item."""
        self._ripen()
        return any(engine_id not in task.avoid for job in job_ids for task in self._ready.get(job, ()))

    @property
    def ready_total(self) -> int:
        """Items of all jobs that could start now."""
        self._ripen()
        return sum(map(len, self._ready.values()))

    @property
    def job_ids(self) -> list[str]:
        """The jobs in hand, oldest first."""
        return sorted({held.claim.job_id for held in self.shards.values()})

    def running(self) -> list[Task]:
        """Items with a try under way."""
        return [task for held in self.shards.values() for task in held.tasks.values() if task.tries]

    def _may_run_alone(self, task: Task) -> bool:
        """One that a worker died of while alone waits until this worker has lived a while."""
        now = self._clock()
        return task.ready_at <= now and (not task.work.deaths_alone or now - self._born >= QUIET_S)

    def _file(self, task: Task) -> None:
        if task.work.is_suspect:
            self._suspects.append(task)
        elif task.ready_at > self._clock():
            self._later.append(task)
        else:
            self._ready.setdefault(task.claim.job_id, deque()).append(task)

    def _ripen(self) -> None:
        if self._later:
            now = self._clock()
            ripe = [task for task in self._later if task.ready_at <= now]
            self._later = [task for task in self._later if task.ready_at > now]
            for task in ripe:
                self._ready.setdefault(task.claim.job_id, deque()).appendleft(task)
