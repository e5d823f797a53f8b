"""How a statement waits for SQLite's one write lock: in short even steps instead of ever longer ones."""

from __future__ import annotations

import random
import sqlite3
import time
from collections.abc import Callable
from typing import Any, TypeVar

from django.db.backends.sqlite3 import base

STEP_S = 0.001
# Not SQLITE_BUSY_SNAPSHOT: a transaction that read an older state never gets the lock, however long it waits.
LOCKED = frozenset({"SQLITE_BUSY", "SQLITE_BUSY_RECOVERY", "SQLITE_BUSY_TIMEOUT"})

T = TypeVar("T")


class DatabaseWrapper(base.DatabaseWrapper):
    """A connection whose statements, BEGIN among them, wait for the lock for the seconds of the option `timeout`.

    SQLite's own handler sleeps longer after each try, up to 100 ms, while the lock is free again every
    millisecond or two: processes that write at the same time sleep most of the time (docs/why/sqlite.md).
    """

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        """A connection that reports a lock at once; while it is being set up it waits in SQLite's way."""
        connection = super().get_new_connection(conn_params)
        connection.execute("PRAGMA busy_timeout = 0")
        return connection

    def create_cursor(self, name: Any = None) -> Any:
        """A cursor that waits."""
        timeout_s = float(self.settings_dict["OPTIONS"].get("timeout", 5.0))
        return self.connection.cursor(factory=lambda connection: _Cursor(connection, timeout_s))


class _Cursor(base.SQLiteCursorWrapper):
    """Tries a statement again while another has the lock: until then it has done nothing."""

    def __init__(self, connection: Any, timeout_s: float) -> None:
        super().__init__(connection)
        self._timeout_s = timeout_s

    def execute(self, query: Any, params: Any = None) -> Any:
        """As Django's, but patient."""
        return self._patiently(lambda: super(_Cursor, self).execute(query, params))

    def executemany(self, query: Any, param_list: Any) -> Any:
        """As Django's, but patient."""
        rows = list(param_list)
        return self._patiently(lambda: super(_Cursor, self).executemany(query, rows))

    def _patiently(self, step: Callable[[], T]) -> T:
        deadline = 0.0
        while True:
            try:
                return step()
            except sqlite3.OperationalError as error:
                if error.sqlite_errorname not in LOCKED:
                    raise
                deadline = deadline or time.monotonic() + self._timeout_s
                if time.monotonic() > deadline:
                    raise
            time.sleep(STEP_S * random.uniform(0.5, 1.5))
