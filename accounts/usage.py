"""Usage: how many requests and tokens each key used, by model, node and day. The only writer of UsageDay.

A process adds up what it saw and raises the sums in one statement; nothing is read before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from django.db import connection

from accounts.models import UsageDay
from dpl_site.lib.clock import utc_now

MOST_PRUNED = 2_000
"""Rows that one transaction removes."""


@dataclass(frozen=True, slots=True, order=True)
class UsedBy:
    """What is summed up together; 0 stands for no key and no node."""

    day: date
    user_id: int
    key_id: int
    model: str
    node_id: int
    source: str
    node_name: str = ""


@dataclass(slots=True)
class Used:
    """How much it was."""

    requests: int = 0
    failed: int = 0
    cancelled: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def add(self, other: Used) -> None:
        """Add another's sums."""
        self.requests += other.requests
        self.failed += other.failed
        self.cancelled += other.cancelled
        self.prompt_tokens += other.prompt_tokens
        self.completion_tokens += other.completion_tokens


def usage_add(*, used: Mapping[UsedBy, Used]) -> None:
    """Raise the sums by these. In the order of their keys, so that two processes never wait for each other."""
    if not used:
        return
    rows = [_row(by, much) for by, much in sorted(used.items(), key=lambda pair: pair[0])]
    with connection.cursor() as cursor:
        cursor.executemany(_ADD, rows)


def usage_prune(*, older_than_days: int) -> int:
    """Remove sums of days that are long past, a few at a time; how many."""
    oldest = utc_now().date() - timedelta(days=older_than_days)
    some = UsageDay.objects.filter(day__lt=oldest).order_by("day").values_list("id", flat=True)[:MOST_PRUNED]
    ids = list(some)
    return UsageDay.objects.filter(id__in=ids).delete()[0] if ids else 0


def _row(by: UsedBy, much: Used) -> tuple[date | int | str, ...]:
    return (
        *(by.day, by.source, by.user_id, by.key_id, by.model[:200], by.node_id, by.node_name[:100]),
        *(much.requests, much.failed, much.cancelled, much.prompt_tokens, much.completion_tokens),
    )


_KEY = ("day", "source", "user_id", "key_id", "model", "node_id")
_SUMS = ("requests", "failed", "cancelled", "prompt_tokens", "completion_tokens")
_COLUMNS = (*_KEY, "node_name", *_SUMS)
_ADD = (
    f"INSERT INTO accounts_usageday ({', '.join(_COLUMNS)}) VALUES ({', '.join(['%s'] * len(_COLUMNS))}) "
    f"ON CONFLICT ({', '.join(_KEY)}) DO UPDATE SET node_name = excluded.node_name, "
    + ", ".join(f"{name} = accounts_usageday.{name} + excluded.{name}" for name in _SUMS)
)
