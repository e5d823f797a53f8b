"""How much goes through the fleet now: requests in engines, tokens per second. Reads what the gateway recorded."""

from __future__ import annotations

from datetime import timedelta

from django.db.models import Sum

from dpl_site.lib.clock import utc_now
from inference.models import GatewayProcess, RequestLog, Slot
from nodes.instances import owner_is_dead

DRAIN = "drain"
"""The kind of process that runs items of jobs."""


def requests_in_flight() -> int:
    """Requests that engines have now: the gateway's, and jobs' items, each of which holds a slot."""
    living = GatewayProcess.objects.exclude(owner_is_dead("instance")).values_list("in_flight", flat=True)
    held = Slot.objects.filter(holder__kind=DRAIN).exclude(owner_is_dead("holder"))
    return sum(sum(counts.values()) for counts in living) + held.count()


def gateway_tokens(*, within: timedelta) -> int:
    """Tokens written for the gateway's requests that came lately and are answered."""
    answered = RequestLog.objects.filter(at__gt=utc_now() - within)
    return answered.aggregate(tokens=Sum("completion_tokens"))["tokens"] or 0
