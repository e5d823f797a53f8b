"""How a transaction waits for SQLite's write lock."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from copy import deepcopy
from pathlib import Path

import pytest
from django.db import OperationalError, connection

from dpl_site.config import database
from dpl_site.lib.sqlite.base import DatabaseWrapper

# The rule that a test without this mark may not use a database holds for this one, too.
pytestmark = pytest.mark.django_db(transaction=True)


def backend(file: Path, *, timeout: float = 20.0) -> DatabaseWrapper:
    """A connection of its own to a file, with the settings of an installation."""
    settings = deepcopy(connection.settings_dict) | database(f"sqlite:///{file}", pooled=False)
    settings["OPTIONS"] = settings["OPTIONS"] | {"timeout": timeout}
    return DatabaseWrapper(settings, alias="waiting")


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """Somebody else who has the write lock of `tmp_path/db` until he commits."""
    with closing(sqlite3.connect(tmp_path / "db", isolation_level=None, check_same_thread=False)) as held:
        held.execute("PRAGMA journal_mode=WAL")
        held.execute("BEGIN IMMEDIATE")
        yield held


def begin(waiting: DatabaseWrapper) -> None:
    """Begin a transaction, and end it."""
    waiting.set_autocommit(False, force_begin_transaction_with_broken_autocommit=True)
    waiting.rollback()
    waiting.set_autocommit(True)


def test_it_begins_as_soon_as_the_lock_is_free(tmp_path: Path, holder: sqlite3.Connection) -> None:
    waiting = backend(tmp_path / "db")
    freed: list[float] = []

    def free() -> None:
        freed.append(time.monotonic())
        holder.execute("COMMIT")

    threading.Timer(0.1, free).start()
    begin(waiting)
    assert freed
    assert waiting.in_atomic_block is False
    waiting.close()


def test_a_statement_of_its_own_waits_in_the_same_way(tmp_path: Path, holder: sqlite3.Connection) -> None:
    holder.execute("CREATE TABLE things (name TEXT)")
    waiting = backend(tmp_path / "db")
    threading.Timer(0.1, holder.execute, ["COMMIT"]).start()
    with waiting.cursor() as cursor:
        cursor.execute("CREATE TABLE others (name TEXT)")
        cursor.executemany("INSERT INTO things (name) VALUES (%s)", [["one"], ["two"]])
        cursor.execute("SELECT count(*) FROM things")
        assert cursor.fetchone() == (2,)
    waiting.close()


def test_it_gives_up_after_its_time(tmp_path: Path, holder: sqlite3.Connection) -> None:
    waiting = backend(tmp_path / "db", timeout=0.05)
    with pytest.raises(OperationalError, match="database is locked"):
        begin(waiting)
    with pytest.raises(OperationalError, match="database is locked"), waiting.cursor() as cursor:
        cursor.execute("CREATE TABLE things (name TEXT)")
    waiting.close()


def test_what_waiting_cannot_mend_is_raised_at_once(tmp_path: Path) -> None:
    waiting = backend(tmp_path / "db")
    waiting.ensure_connection()
    waiting.connection.execute("BEGIN")
    with pytest.raises(OperationalError, match="within a transaction"):
        begin(waiting)
    waiting.close()
