"""What keys with limits were granted and used in each window, by all processes. The only writer of KeyUse."""

from __future__ import annotations

from collections.abc import Sequence

from django.db import connection, transaction
from django.db.models import F, Q

from accounts.limits import DAY, Claim, Grant, WindowOf, granted_of
from accounts.models import KeyUse
from dpl_site.lib.clock import utc_now

KEEP_S = 2 * DAY
MOST_PRUNED = 2_000


def exchange(*, claims: Sequence[Claim], processes: int) -> dict[WindowOf, Grant]:
    """Tell what this process used and gave back, and be granted what it wants of what is left.

    Raises the sums first, which keeps their rows for the grants; in one order, so that two processes never
    wait for each other.
    """
    rows = [
        (*_key(one.window), one.change, one.tokens)
        for one in sorted(claims, key=lambda claim: claim.window)
        if one.change or one.tokens or one.wants
    ]
    if not rows:
        return _granted(claims, processes)
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.executemany(_ADD, rows)
        return _granted(claims, processes)


def _granted(claims: Sequence[Claim], processes: int) -> dict[WindowOf, Grant]:
    standing = _standing(claims)
    grants: dict[WindowOf, Grant] = {}
    raised: list[tuple[int, ...]] = []
    for claim in sorted(claims, key=lambda one: one.window):
        requests, tokens = standing.get(claim.window, (0, 0))
        granted = granted_of(claim.limit or 0, requests, claim.wants, processes)
        grants[claim.window] = Grant(requests + granted, tokens, granted)
        if granted:
            raised.append((*_key(claim.window), granted, 0))
    if raised:
        with connection.cursor() as cursor:
            cursor.executemany(_ADD, raised)
    return grants


def _standing(claims: Sequence[Claim]) -> dict[WindowOf, tuple[int, int]]:
    """Requests and tokens of each window that has a row."""
    wanted = Q(pk__in=())
    for seconds in {claim.window.seconds for claim in claims}:
        of_these = [claim.window for claim in claims if claim.window.seconds == seconds]
        wanted |= Q(
            seconds=seconds,
            start__in={one.start for one in of_these},
            key_id__in={one.key_id for one in of_these},
        )
    found = KeyUse.objects.filter(wanted).values_list("key_id", "seconds", "start", "requests", "tokens")
    return {
        WindowOf(key_id, seconds, start): (requests, tokens)
        for key_id, seconds, start, requests, tokens in found
    }


def quotas_prune() -> int:
    """Remove windows that have ended; how many."""
    now = utc_now().timestamp()
    ended = KeyUse.objects.annotate(end=F("start") + F("seconds")).filter(end__lt=now - KEEP_S)
    ids = list(ended.order_by("id").values_list("id", flat=True)[:MOST_PRUNED])
    return KeyUse.objects.filter(id__in=ids).delete()[0] if ids else 0


def _key(window: WindowOf) -> tuple[int, int, int]:
    return window.key_id, window.seconds, window.start


_ADD = (
    "INSERT INTO accounts_keyuse (key_id, seconds, start, requests, tokens) VALUES (%s, %s, %s, %s, %s) "
    "ON CONFLICT (key_id, seconds, start) DO UPDATE SET requests = accounts_keyuse.requests + excluded.requests, "
    "tokens = accounts_keyuse.tokens + excluded.tokens"
)
