"""Queries that are asked every second for ever: built by the ORM once, then asked as they stand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db import connection
from django.db.models import QuerySet


class Prepared:
    """One SELECT without varying parameters. Building it anew each time costs several times what it takes."""

    def __init__(self, build: Callable[[], QuerySet[Any, Any]]) -> None:
        """`build` is called at the first question; its values come back as the driver gives them."""
        self._build = build
        self._sql: tuple[str, tuple[Any, ...]] | None = None

    def rows(self) -> list[tuple[Any, ...]]:
        """What it finds now."""
        if self._sql is None:
            self._sql = self._build().query.sql_with_params()
        with connection.cursor() as cursor:
            cursor.execute(*self._sql)
            return list(cursor.fetchall())


class AnyRow(Prepared):
    """Whether a query finds anything."""

    def __init__(self, build: Callable[[], QuerySet[Any, Any]]) -> None:
        super().__init__(lambda: build().order_by().values_list("pk")[:1])

    def exists(self) -> bool:
        """Whether there is a row now."""
        return bool(self.rows())
