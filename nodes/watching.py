"""Who looks at what: web processes say which nodes somebody watches, and the controller asks those more often.

A note holds for WATCHED_MS and is renewed while somebody looks, so that a web process that dies leaves no lasting
trace. The only writer of Watch.
"""

from __future__ import annotations

from collections.abc import Collection

from django.db import connection

from dpl_site.lib.db import NowMs, now_sql
from dpl_site.lib.prepared import Prepared
from nodes.models import Watch
from nodes.selectors import live_nodes

THE_FLEET = 0
WATCHED_MS = 15_000
MOST_WATCHED = 16
"""How many nodes are asked more often. A larger fleet is not, when somebody watches it as a whole: each look costs."""


def watch_note(*, subjects: Collection[int]) -> None:
    """Somebody looks at these nodes (THE_FLEET: at all of them)."""
    with connection.cursor() as cursor:
        # In order, so that two processes never wait for each other.
        cursor.executemany(
            f"INSERT INTO nodes_watch (subject, expires_ms) VALUES (%s, {now_sql()} + %s) ON CONFLICT (subject) "
            "DO UPDATE SET expires_ms = excluded.expires_ms",
            [(subject, WATCHED_MS) for subject in sorted(subjects)],
        )


_WATCHED = Prepared(
    lambda: Watch.objects.filter(expires_ms__gt=NowMs()).order_by("subject").values_list("subject")
)


def watched_nodes() -> set[int]:
    """The live nodes with an agent that are to be asked more often now, MOST_WATCHED at most."""
    subjects = {subject for (subject,) in _WATCHED.rows()}
    if not subjects:
        return set()
    agents = live_nodes().exclude(monitor_base_url="").order_by("id").values_list("id", flat=True)
    if THE_FLEET in subjects:
        every = list(agents[: MOST_WATCHED + 1])
        if len(every) <= MOST_WATCHED:
            return set(every)
    return set(agents.filter(id__in=subjects)[:MOST_WATCHED])


def watches_prune() -> int:
    """Remove notes that hold no longer; how many."""
    return Watch.objects.filter(expires_ms__lt=NowMs() - WATCHED_MS).delete()[0]
