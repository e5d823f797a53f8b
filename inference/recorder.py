"""Keeps the records of a web process's requests until they are written, in batches, behind the requests' backs.

Async.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Protocol

from django.db import DatabaseError, InterfaceError

from dpl_site.lib.db import Threads
from inference.records import RequestRecord

FLUSH_S = 0.5
"""What a kill -9 loses is what came to its end within this time and the writing of it: less than a second."""
BATCH = 2_000
MOST_KEPT = 50_000
"""How many records are kept while the database is away; those beyond are dropped and counted."""
AWAY_PAUSE_S = 2.0
TELL_S = 60.0
"""How often it is said that requests were counted only."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Load:
    """What this process has in hand now: requests that wait for a slot, and those in each engine."""

    waiting: int = 0
    in_flight: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Batch:
    """What one transaction writes. `number` rises; `is_again`: an earlier try may have been committed after all."""

    recorder_id: uuid.UUID
    instance_id: uuid.UUID | None
    number: int
    records: tuple[RequestRecord, ...]
    load: Load
    is_again: bool = False


class Writer(Protocol):
    """Writes a batch in one transaction, in a thread."""

    def __call__(self, *, batch: Batch) -> None: ...


class Recorder:
    """Takes records and has them written every FLUSH_S.

    Guarantee: `add` never waits, so no token does; each record is written once, also when the answer to a
    commit was lost; `close` writes what there is. While the database is away MOST_KEPT records are kept, more
    are dropped, counted and said in the log. It writes through the `Writer` only. On kill -9 the last FLUSH_S
    are lost. When very many come, some are counted only: their row would cost more than the request.
    """

    def __init__(
        self,
        *,
        threads: Threads,
        write: Writer,
        load: Callable[[], Load],
        instance_id: Callable[[], uuid.UUID | None],
        most_kept: int = MOST_KEPT,
        most_in_full: float = float("inf"),
    ) -> None:
        """`load` tells what the process has in hand, `instance_id` which registered process it is.

        `most_in_full`: how many requests a second have a row of their own, good ones and others each.
        """
        self._threads, self._write, self._load, self._instance_id = threads, write, load, instance_id
        self._most_kept = most_kept
        self._id = uuid.uuid4()
        self._records: deque[RequestRecord] = deque()
        self._number = 1
        self._size = 0
        self._is_unsure = False
        self._told = Load()
        self._most_in_full = most_in_full * FLUSH_S
        self._in_full = {True: 0, False: 0}
        self._counted_only = 0
        self._told_at = time.monotonic()
        self.dropped = 0

    def takes_in_full(self, *, is_good: bool) -> bool:
        """Whether the next record may have a row of its own; failures have room of theirs."""
        if self._in_full[is_good] >= self._most_in_full:
            self._counted_only += 1
            return False
        self._in_full[is_good] += 1
        return True

    def add(self, record: RequestRecord) -> None:
        """A request is over."""
        if len(self._records) >= self._most_kept:
            self.dropped += 1
            return
        self._records.append(record)

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            await asyncio.sleep(FLUSH_S)
            self._in_full = {True: 0, False: 0}
            while self._is_due and await self._flush() and len(self._records) >= BATCH:
                continue

    async def close(self) -> None:
        """Write what is left and that nothing is in hand any more, or say how much was lost."""
        try:
            while self._is_due:
                if not await self._flush():
                    break
        finally:
            if self._records:
                logger.error("%d records of requests are lost: no database", len(self._records))

    @property
    def _is_due(self) -> bool:
        return bool(self._records) or self._load() != self._told

    async def _flush(self) -> bool:
        """Write one batch; False when the database is away, after a pause. A batch stays the same until it is in."""
        batch = self._batch()
        try:
            await self._threads.call(self._write, batch=batch)
        except asyncio.CancelledError:
            self._is_unsure = True
            raise
        except (DatabaseError, InterfaceError) as error:
            self._is_unsure = True
            text = " ".join(str(error).split())
            logger.warning("%d records of requests wait for the database: %s", len(self._records), text)
            await asyncio.sleep(AWAY_PAUSE_S)
            return False
        for _ in batch.records:
            self._records.popleft()
        self._number, self._is_unsure, self._told = self._number + 1, False, batch.load
        self._complain()
        return True

    def _batch(self) -> Batch:
        if not self._is_unsure:
            self._size = min(len(self._records), BATCH)
        records = tuple(islice(self._records, self._size))
        return Batch(self._id, self._instance_id(), self._number, records, self._load(), self._is_unsure)

    def _complain(self) -> None:
        now = time.monotonic()
        if self._counted_only and now - self._told_at > TELL_S:
            logger.info(
                "%d requests are in the sums of usage and in the metrics, but have no row of their own: more came "
                "than DPL_KEEP_REQUESTS_PER_S",
                self._counted_only,
                extra={"action": "requests_counted_only"},
            )
            self._counted_only, self._told_at = 0, now
        if self.dropped:
            logger.error(
                "%d records of requests were dropped while the database was away",
                self.dropped,
                extra={"action": "records_dropped"},
            )
            self.dropped = 0
