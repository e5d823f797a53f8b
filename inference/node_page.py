"""`/nodes/{id}/`: one machine with all that is known of it. Decides who sees which button, and what is shown first."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext_lazy as _

from accounts.http import Asked, methods, page
from inference import fleet
from inference.node_details import node_details
from inference.pages import AS_A_RULE, LOCK_MINUTES
from inference.requests_api import requests_of, requests_view

RANGES = (
    ("5m", _("5 minutes")),
    ("15m", _("15 minutes")),
    ("1h", _("1 hour")),
    ("6h", _("6 hours")),
    ("1d", _("1 day")),
    ("7d", _("7 days")),
    ("30d", _("30 days")),
)
"""How far back the curves may go, as the history API takes it."""
USUAL_RANGE = "1h"
REQUESTS = 10
MOST_ID = 2**63 - 1
"""What a database's column holds; a larger number is no node's."""


@methods("GET")
@page("read")
def node_page(request: Asked, node_id: int) -> HttpResponse:
    """One node: state, load, engines, GPUs, the machine, alerts, requests, its lock; live where scripts run."""
    node = fleet.status_node(node_id) if node_id <= MOST_ID else None
    if node is None:
        raise Http404
    principal = request.principal
    context: dict[str, Any] = {
        "node": node,
        "details": node_details(node_id),
        "me": {"name": principal.username, "is_admin": principal.may("admin")},
        "may_act": principal.may("chat"),
        "times": LOCK_MINUTES,
        "usual": AS_A_RULE,
        "ranges": RANGES,
        "range": _range(request),
    }
    return render(request, "inference/node.html", context | _requests(request, node_id))


def _range(request: Asked) -> str:
    wanted = request.GET.get("range", "")
    return wanted if wanted in dict(RANGES) else USUAL_RANGE


def _requests(request: Asked, node_id: int) -> dict[str, Any]:
    """The last requests that went there, one's own or everybody's; the errors only where that is asked."""
    only_failed = request.GET.get("requests") == "failed"
    query = {"node": str(node_id)} | ({"failed": "true"} if only_failed else {})
    found = requests_view(requests_of(request.principal, query)[:REQUESTS])
    shown = [
        one | {"ttft_s": _seconds(one["ttft_ms"]), "duration_s": _seconds(one["duration_ms"])}
        for one in found
    ]
    source = f"/api/v1/requests/?{urlencode(query | {'page_size': REQUESTS})}"
    return {"requests": shown, "only_failed": only_failed, "requests_source": source}


def _seconds(milliseconds: int | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1000
