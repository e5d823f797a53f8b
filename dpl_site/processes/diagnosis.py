"""What is wrong with this installation and how to mend it: `manage.py doctor` and /api/debug/diagnosis.

Reads, and writes nothing that stays.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator

from django.conf import settings
from django.core import checks
from django.db import DatabaseError, InterfaceError, connection, transaction

from alerts.models import Channel
from dpl_site.checks import OURS
from dpl_site.lib import secrets
from dpl_site.lib.db import now_ms
from dpl_site.processes.findings import ERROR, WARNING, Finding
from dpl_site.processes.fleet_symptoms import FLEET_SYMPTOMS
from dpl_site.processes.schema import read_schema
from dpl_site.processes.symptoms import SLOW_SYMPTOMS, SYMPTOMS
from inference.models import Engine
from nodes import news
from nodes.models import Node

SLOW_S = 0.5
"""A database that takes longer over the simplest question is in trouble."""

_LEVELS = {checks.WARNING: WARNING, checks.ERROR: ERROR, checks.CRITICAL: ERROR}


def diagnose(*, is_thorough: bool = True) -> list[Finding]:
    """Everything that is wrong, errors first. A database that is away ends the examination of what it holds.

    Without `is_thorough` what takes long on a large installation is left out: Django's own checks, and comparing
    counters with rows.
    """
    found = [*_configuration(is_thorough=is_thorough), *_redis()]
    try:
        found += _database()
        found += _schema()
        if not any(finding.severity == ERROR and finding.subject == "schema" for finding in found):
            slow = SLOW_SYMPTOMS if is_thorough else ()
            found += _examined([_credentials, *SYMPTOMS, *FLEET_SYMPTOMS, *slow])
    except (DatabaseError, InterfaceError) as error:
        connection.close()
        found.append(
            Finding(
                ERROR,
                "database",
                f"It does not answer: {str(error).strip()}.",
                "See that the server runs and that DATABASE_URL is right.",
            )
        )
    return sorted(found, key=lambda finding: finding.severity != ERROR)


def _examined(examinations: Iterable[Callable[[], Iterable[Finding]]]) -> Iterator[Finding]:
    for examine in examinations:
        yield from examine()


def _configuration(*, is_thorough: bool) -> Iterator[Finding]:
    messages = checks.run_checks() if is_thorough else [found for check in OURS for found in check()]
    for message in messages:
        if message.level >= checks.WARNING:
            severity = _LEVELS.get(message.level, ERROR)
            yield Finding(severity, message.id or "configuration", str(message.msg), str(message.hint or ""))


def _database() -> Iterator[Finding]:
    began = time.perf_counter()
    now_ms()
    took_s = time.perf_counter() - began
    if took_s > SLOW_S:
        yield Finding(
            WARNING,
            "database",
            f"It took {took_s:.1f} s to tell its time.",
            "See what loads its machine or its disk. A disk that is shared with model files is a common cause.",
        )
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA journal_mode")
            mode = cursor.fetchone()[0]
        if mode != "wal":
            yield Finding(
                WARNING,
                "database",
                f"Its journal mode is {mode}, so readers and writers block each other.",
                "Put the file on a local disk whose file system allows shared memory, then start anew.",
            )


def _schema() -> Iterator[Finding]:
    problem = read_schema().problem
    if problem:
        said, _, advice = problem.partition(". ")
        yield Finding(ERROR, "schema", f"{said}.", advice)
        return
    try:
        with transaction.atomic():
            news.publish(topic=news.CLUSTER, object_id="doctor")
            transaction.set_rollback(True)
    except DatabaseError as error:
        yield Finding(
            ERROR,
            "database",
            f"It cannot be written: {str(error).strip()}.",
            "See to the rights of this user on it, to its disk space, and to whoever holds its lock.",
        )


def _credentials() -> Iterator[Finding]:
    """Stored secrets whose key is gone; read raw, since the field itself reads those as empty."""
    for model, column, condition in (
        (Node, "agent_token", "archived_at IS NULL"),
        (Engine, "api_key", "archived_at IS NULL"),
        (Channel, "url", "1 = 1"),
    ):
        table = model._meta.db_table
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT id, {column} FROM {table} WHERE {condition} AND {column} <> ''")
            rows = cursor.fetchall()
        for row_id, stored in rows:
            if not _is_readable(stored):
                yield Finding(
                    ERROR,
                    f"{model._meta.verbose_name} {row_id}",
                    f"Its {column.replace('_', ' ')} cannot be decrypted.",
                    f"Enter it anew, or put the key back into {settings.DPL_CREDENTIALS_KEY_FILE}.",
                )


def _is_readable(stored: str) -> bool:
    try:
        secrets.decrypt(stored)
    except ValueError:
        return False
    return True


def _redis() -> Iterator[Finding]:
    if not settings.REDIS_URL:
        return
    import redis  # most installations have none

    try:
        with redis.Redis.from_url(settings.REDIS_URL, socket_timeout=2, socket_connect_timeout=2) as client:
            client.ping()
    except (redis.RedisError, ValueError) as error:
        yield Finding(
            ERROR,
            "redis",
            f"It does not answer: {error}.",
            "See that it runs and that REDIS_URL is right, or remove REDIS_URL: DPL works without it.",
        )
