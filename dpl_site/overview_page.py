"""The overview's page: which hosts the server draws, and what it remembers of a reader's choice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from urllib.parse import parse_qs, urlencode

from django.core.paginator import Page, Paginator
from django.http import HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.gzip import gzip_page

from accounts.http import Asked, methods, page
from dpl_site.arranging import ENVIRONMENT, LABEL, SORTS, Group, arrange, label_keys
from dpl_site.overview import sums
from dpl_site.templatetags.show import STATES
from inference import fleet
from inference.join_pages import invite_context
from inference.pages import AS_A_RULE, LOCK_MINUTES
from inference.payloads import NodeView

PAGE_SIZE = 24
"""The hosts that the server draws at once; the page's script draws the others."""
COOKIE = "overview"
VIEWS = ("cards", "rows")
LONGEST = 200


@dataclass(frozen=True, slots=True)
class Wanted:
    """How the reader wants to see the hosts."""

    q: str
    sort: str
    group: str
    view: str


@methods("GET")
@gzip_page
@page("read")
def overview_page(request: Asked) -> HttpResponse:
    """All hosts in sums, in curves, and one by one; live where scripts run."""
    principal = request.principal
    nodes, wanted = fleet.node_views(), wanted_by(request)
    keys = label_keys(nodes)
    states = {name: str(label) for name, label in STATES.items()}
    groups = arrange(nodes, text=wanted.q, sort=wanted.sort, group=wanted.group, states=states)
    shown = Paginator(_placed(groups), PAGE_SIZE).get_page(request.GET.get("page"))
    me = {"name": principal.username, "is_admin": principal.may("admin")}
    context = {
        "nodes": nodes,
        "page": shown,
        "groups": _cut(shown),
        "wanted": wanted,
        "query": urlencode({"q": wanted.q, "sort": wanted.sort, "group": wanted.group, "view": wanted.view}),
        "sorts": sort_labels(),
        "labels": [(f"{LABEL}{key}", key) for key in keys],
        "sums": sums(nodes),
        "engines": sum(len(node["engines"]) for node in nodes),
        "me": me,
        "may_lock": principal.may("chat"),
        "times": LOCK_MINUTES,
        "usual": AS_A_RULE,
    }
    context |= invite_context(request) if me["is_admin"] else {}
    return render(request, "overview/page.html", context)


def wanted_by(request: Asked) -> Wanted:
    """What the address says; what it leaves open is as the reader chose last, by a cookie of the page's script."""
    last = {name: found[-1] for name, found in parse_qs(request.COOKIES.get(COOKIE, "")[:LONGEST]).items()}
    told = last | {name: str(value)[:LONGEST] for name, value in request.GET.items()}
    sort, group, view = told.get("sort", ""), told.get("group", ""), told.get("view", "")
    return Wanted(
        q=str(request.GET.get("q", ""))[:LONGEST],
        sort=sort if sort in SORTS else "name",
        group=group if group == ENVIRONMENT or group.startswith(LABEL) else "",
        view=view if view in VIEWS else "cards",
    )


def sort_labels() -> list[tuple[str, str]]:
    """What the hosts can be sorted by."""
    return [
        ("name", _("by name")),
        ("state", _("problems first")),
        ("cpu", _("by CPU")),
        ("gpu", _("by GPU use")),
        ("memory", _("by memory")),
        ("heat", _("by GPU temperature")),
    ]


def _placed(groups: Sequence[Group]) -> list[tuple[str, NodeView]]:
    return [(group.key, node) for group in groups for node in group.nodes]


def _cut(shown: Page[tuple[str, NodeView]]) -> list[Group]:
    """The groups of one page; an empty list of hosts, for the script to fill, where there is none."""
    cut = [
        Group(key, tuple(node for _key, node in placed))
        for key, placed in groupby(shown, key=lambda pair: pair[0])
    ]
    return cut or [Group("", ())]
