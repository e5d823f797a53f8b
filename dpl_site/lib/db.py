"""How the house meets its database: its clock, short transactions, retries, and the way in from async code."""

from __future__ import annotations

import asyncio
import logging
import random
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

from django.db import (
    DEFAULT_DB_ALIAS,
    InterfaceError,
    OperationalError,
    connection,
    connections,
    models,
)
from django.db.models.expressions import Func

P = ParamSpec("P")
T = TypeVar("T")

logger = logging.getLogger(__name__)

# 2440587.5 is the Julian day of the Unix epoch; SQLite before 3.42 has no sub-second unixepoch().
_NOW_MS = {
    "sqlite": "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)",
    "postgresql": "(extract(epoch from clock_timestamp()) * 1000)::bigint",
}


class NowMs(Func):
    """The database's own clock as epoch milliseconds, for leases that several hosts must agree on."""

    output_field = models.BigIntegerField()

    def as_sqlite(self, compiler: Any, connection: Any, **kwargs: Any) -> tuple[str, tuple[Any, ...]]:
        """SQLite's spelling."""
        return _NOW_MS["sqlite"], ()

    def as_postgresql(self, compiler: Any, connection: Any, **kwargs: Any) -> tuple[str, tuple[Any, ...]]:
        """PostgreSQL's spelling: the wall clock, not the transaction's start."""
        return _NOW_MS["postgresql"], ()


def now_sql() -> str:
    """The SQL expression of the database's clock in epoch milliseconds, for raw statements."""
    return _NOW_MS[connection.vendor]


def now_ms() -> int:
    """The database's clock, epoch milliseconds."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {now_sql()}")
        return int(cursor.fetchone()[0])


def retrying(step: Callable[[], T], *, give_up_after_s: float = 8.0) -> T:
    """What `step` returns, tried again while the database is away or busy; its last error after the limit.

    For steps that are one whole transaction, so that trying again is safe.
    """
    deadline = time.monotonic() + give_up_after_s
    delay = 0.05
    while True:
        try:
            return step()
        except (OperationalError, InterfaceError) as error:
            if connection.in_atomic_block or time.monotonic() + delay > deadline:
                raise
            logger.warning("database is away or busy (%s); trying again", str(error).strip())
            connection.close()
            time.sleep(delay * random.uniform(0.5, 1.0))
            delay = min(delay * 2, 1.0)


class Threads:
    """A pool of a few threads that async code runs services in; connections are refreshed around each call."""

    def __init__(self, count: int, name: str) -> None:
        self._count = count
        self._pool = ThreadPoolExecutor(max_workers=count, thread_name_prefix=name)

    async def call(self, service: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run one sync service in the pool and give what it returns."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, lambda: _fresh(service, *args, **kwargs))

    def close(self) -> None:
        """Wait for what runs, close every thread's connection, end the threads."""
        gate = threading.Barrier(self._count + 1)
        for _ in range(self._count):
            self._pool.submit(_close_in_step, gate)
        gate.wait(timeout=CLOSE_S)
        self._pool.shutdown(wait=True)


CLOSE_S = 30.0
"""How long a step that runs may take before `close` gives up on it."""


def _close_in_step(gate: threading.Barrier) -> None:
    """Each thread of the pool takes one of these, since it waits here for the others."""
    connections.close_all()
    gate.wait(timeout=CLOSE_S)


KEEP_S = 60.0
"""How long a thread of the pool keeps its connection open between calls."""


def _fresh(service: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    connection = connections[DEFAULT_DB_ALIAS]
    if connection.in_atomic_block:
        return service(*args, **kwargs)
    connection.close_if_unusable_or_obsolete()
    try:
        return service(*args, **kwargs)
    finally:
        if connection.settings_dict.get("OPTIONS", {}).get("pool"):
            connection.close()
        elif connection.connection is not None:
            connection.close_at = time.monotonic() + KEEP_S
            if connection.errors_occurred:
                connection.close_if_unusable_or_obsolete()


_threads: Threads | None = None


async def call(service: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a sync service from async code, in the process's own small pool of threads."""
    global _threads
    if _threads is None:
        _threads = Threads(4, "db")
    return await _threads.call(service, *args, **kwargs)


def uuid_param(value: uuid.UUID) -> uuid.UUID | str:
    """A UUID as a parameter of a raw statement, in the database's own form."""
    return value if connection.features.has_native_uuid_field else value.hex
