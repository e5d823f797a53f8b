"""News for watchers: publish, read what came since, prune. An event is a hint; the rows are the truth."""

from __future__ import annotations

from dataclasses import dataclass

from dpl_site.lib.db import NowMs
from dpl_site.lib.prepared import Prepared
from nodes.models import Event

CLUSTER = "cluster"
JOB = "job"


@dataclass(frozen=True, slots=True)
class News:
    """One event: its id, what it is about, and the version of the row that it tells of."""

    id: int
    topic: str
    object_id: str
    version: int
    payload: str


def publish(*, topic: str, object_id: str | int, version: int = 0, payload: str = "") -> None:
    """Tell watchers that something changed, within the caller's transaction."""
    Event.objects.create(
        at_ms=NowMs(), topic=topic, object_id=str(object_id), version=version, payload=payload[:2000]
    )


_NEWEST = Prepared(lambda: Event.objects.order_by("-id").values_list("id")[:1])


def last_id() -> int:
    """The id of the newest event, 0 when there is none."""
    return next((newest for (newest,) in _NEWEST.rows()), 0)


def since(after_id: int, *, limit: int = 1000) -> list[News]:
    """The events after one id, oldest first."""
    rows = Event.objects.filter(id__gt=after_id).order_by("id")[:limit]
    return [News(row.id, row.topic, row.object_id, row.version, row.payload) for row in rows]


def prune(*, older_than_ms: int) -> int:
    """Remove old events; how many."""
    deleted, _ = Event.objects.filter(at_ms__lt=NowMs() - older_than_ms).delete()
    return deleted
