"""How large the database is and how many use it, as cheaply as it tells."""

from __future__ import annotations

from django.db import connection


def size_bytes() -> int:
    """The size of the database; of SQLite the pages of its file, without the write-ahead log."""
    if connection.vendor == "postgresql":
        return _number("SELECT pg_database_size(current_database())")
    return _number("PRAGMA page_count") * _number("PRAGMA page_size")


def connections_in_use() -> int | None:
    """Connections to this database, ours and others'; None where the database does not know."""
    if connection.vendor != "postgresql":
        return None
    return _number("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")


def _number(query: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(query)
        return int(cursor.fetchone()[0])
