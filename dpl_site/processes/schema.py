"""Whether the database's tables are those of this release, and making them so, by one process at a time.

Migrations are compared by name, without importing them: a process that only asks stays small.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO

from django.apps import apps
from django.core.management import call_command
from django.db import connection

from dpl_site.processes.refusal import CannotStart

ADVISORY_LOCK = 0x64706C01
"""The key of PostgreSQL's advisory lock: "dpl", 1."""
ASK_AGAIN_S = 0.2


@dataclass(frozen=True, slots=True)
class Schema:
    """How the applied migrations differ from those of this release, as `app.name`."""

    unapplied: tuple[str, ...]
    unknown: tuple[str, ...]

    @property
    def is_ours(self) -> bool:
        """Whether there is no difference."""
        return not self.unapplied and not self.unknown

    @property
    def problem(self) -> str:
        """What is wrong and what to do; empty when nothing is."""
        if self.unknown:
            return (
                f"The database was made by another release: it has {_named(self.unknown)}, which this one does "
                "not know. Start the newer release, or set DATABASE_URL to another database."
            )
        if self.unapplied:
            return (
                f"The database is not up to date: {_named(self.unapplied)} is missing. "
                "Run `manage.py up`, or `manage.py migrate`."
            )
        return ""


def _named(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return f"migration {names[0]}{more}"


def read_schema() -> Schema:
    """Compare the database with this release. Raises DatabaseError when it cannot be reached."""
    known, applied = _known(), _applied()
    return Schema(tuple(sorted(known - applied)), tuple(sorted(applied - known)))


def require_schema() -> None:
    """Refuse a database whose tables are not those of this release. Raises CannotStart, DatabaseError."""
    problem = read_schema().problem
    if problem:
        raise CannotStart(problem)


def migrate_once(say: Callable[[str], None]) -> bool:
    """Bring the tables up to date, by one process while others wait; whether there was anything to do.

    Raises CannotStart when the database is of a newer release.
    """
    if read_schema().is_ours:
        return False
    with _lock(say):
        schema = read_schema()
        if schema.unknown:
            raise CannotStart(schema.problem)
        if schema.unapplied:
            say(f"Preparing the database: {len(schema.unapplied)} migrations.")
            call_command("migrate", interactive=False, verbosity=0, skip_checks=True)
        return bool(schema.unapplied)


@lru_cache(maxsize=1)
def _known() -> frozenset[str]:
    found: set[str] = set()
    for app in apps.get_app_configs():
        files = Path(app.path, "migrations").glob("[!_~]*.py")
        found.update(f"{app.label}.{file.stem}" for file in files)
    return frozenset(found)


def _applied() -> set[str]:
    with connection.cursor() as cursor:
        if "django_migrations" not in connection.introspection.table_names(cursor):
            return set()
        cursor.execute("SELECT app, name FROM django_migrations")
        return {f"{app}.{name}" for app, name in cursor.fetchall()}


@contextlib.contextmanager
def _lock(say: Callable[[str], None]) -> Iterator[None]:
    """Hold the right to migrate; a process that dies gives it back."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            _wait(lambda: _try_advisory(cursor.execute, cursor.fetchone), say)
            try:
                yield
            finally:
                cursor.execute("SELECT pg_advisory_unlock(%s)", [ADVISORY_LOCK])
    else:
        with Path(f"{connection.settings_dict['NAME']}.migrating").open("w") as file:
            _wait(lambda: try_flock(file), say)
            yield


def _try_advisory(execute: Callable[..., object], fetchone: Callable[[], tuple[bool]]) -> bool:
    execute("SELECT pg_try_advisory_lock(%s)", [ADVISORY_LOCK])
    return fetchone()[0]


def try_flock(file: IO[str]) -> bool:
    """Take the lock on an open file unless another process holds it; the kernel frees it with its holder."""
    try:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    os.utime(file.fileno())
    return True


def _wait(is_mine: Callable[[], bool], say: Callable[[str], None]) -> None:
    if is_mine():
        return
    say("Another process prepares the database; waiting for it.")
    while not is_mine():
        time.sleep(ASK_AGAIN_S)
