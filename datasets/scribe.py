"""Group commit: what all lanes of a drain have to write goes into one transaction after the other, none waits alone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from datasets.ledger import Committed, Dispatch, Outcome, commit
from dpl_site.lib.db import Threads, retrying

NEWS_EVERY_S = 0.5


@dataclass(slots=True)
class _Pending:
    dispatches: list[tuple[Dispatch, asyncio.Future[bool]]]
    outcomes: list[Outcome]


class Scribe:
    """Writes for one drain.

    Guarantee: a dispatch is in the database before its request leaves; outcomes are written in the order in
    which they came, before later dispatches. Writes Item, ItemOutput and Shard rows through `ledger`. On
    kill -9 what was not committed is as if it had not happened, and its items run again.
    """

    def __init__(self, threads: Threads, on_commit: Callable[[Committed], None]) -> None:
        self._threads = threads
        self._on_commit = on_commit
        self._pending = _Pending([], [])
        self._called = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._changed: set[str] = set()
        self._told_at = 0.0
        self.problem: BaseException | None = None

    async def dispatch(self, one: Dispatch) -> bool:
        """Note a start; False when the shard is no longer ours and the item must not be sent."""
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._pending.dispatches.append((one, future))
        self._call()
        return await future

    def record(self, one: Outcome) -> None:
        """Write what became of a try with the next commit."""
        self._pending.outcomes.append(one)
        self._changed.add(one.job_id)
        self._call()

    async def settled(self) -> None:
        """Wait until everything handed in so far is written (or cannot be)."""
        await self._idle.wait()

    async def run(self) -> None:
        """Commit until cancelled; a database that stays away ends it, see `problem`."""
        while True:
            await self._called.wait()
            self._called.clear()
            batch, self._pending = self._pending, _Pending([], [])
            try:
                await self._commit(batch)
            except Exception as error:
                self.problem = error
                self._refuse(batch)
                self._idle.set()
                raise
            if not self._called.is_set():
                self._idle.set()

    async def _commit(self, batch: _Pending) -> None:
        starts = [one for one, future in batch.dispatches if not future.cancelled()]
        tell = self._news()
        done = await self._threads.call(
            retrying, lambda: commit(dispatches=starts, outcomes=batch.outcomes, tell=tell)
        )
        self._on_commit(done)
        for one, future in batch.dispatches:
            if not future.done():
                future.set_result(one.shard_id not in done.lost)

    def _news(self) -> list[str]:
        now = asyncio.get_running_loop().time()
        if not self._changed or now - self._told_at < NEWS_EVERY_S:
            return []
        told, self._changed, self._told_at = sorted(self._changed), set(), now
        return told

    def _refuse(self, batch: _Pending) -> None:
        for _, future in batch.dispatches:
            if not future.done():
                future.set_result(False)

    def _call(self) -> None:
        if self.problem is None:
            self._idle.clear()
            self._called.set()
        else:
            self._refuse(self._pending)
            self._pending = _Pending([], [])
