"""The page of usage and its CSV: requests and tokens by day and group, and the energy of nodes beside them.

Decides who sees what: everybody his own usage, admins all; the energy of nodes is for all who may read, its ratio
to tokens for admins alone, since that tells what others used.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _

from accounts.authentication import Principal
from accounts.http import Asked as Request
from accounts.http import methods, page
from accounts.models import ApiKey, UsageDay
from accounts.selectors import USAGE_SUMS, usage_grouped, usage_of, usage_total
from accounts.usage_view import GROUPS, MEASURES, SOURCES, bars, group_sums, told
from dpl_site.lib.clock import utc_now
from nodes.energy_view import energy_table
from nodes.usage_asked import FILTERS, RANGES, Asked, asked_in, groups_for

PAGE_SIZE = 50
MOST_GROUPS = 100
CSV_WITHIN_S = 5.0
MOST_LINES = 100_000
"""Lines of one CSV."""


@methods("GET")
@page("read")
def usage_page(request: Request) -> HttpResponse:
    """The chart, the sums, the days, the energy."""
    principal = request.principal
    asked = asked_in(request.GET, principal, utc_now().date())
    found = usage_of(principal, asked.wanted)
    sums = group_sums(found, asked.by, asked.measure)
    total = usage_total(found)
    context = {
        "asked": asked,
        "links": _links(asked, principal),
        "filters": _filters(asked),
        "total": total | {"tokens": total["prompt_tokens"] + total["completion_tokens"]},
        "by": GROUPS[asked.by],
        "measure": MEASURES[asked.measure][0],
        "sums": [row | {"href": _narrowed(asked, row)} for row in sums[:MOST_GROUPS]],
        "left_out": max(len(sums) - MOST_GROUPS, 0),
        "chart": bars(found, asked.by, asked.measure, asked.days, sums).view(),
        "days": _days(found, asked, request.GET.get("page")),
        "energy": energy_table(principal, asked),
        "is_admin": principal.may("admin"),
        "may_use": principal.may("chat"),
    }
    return render(request, "nodes/usage.html", context)


@methods("GET")
@page("read")
def usage_csv(request: Request) -> HttpResponse:
    """The table as CSV: day and group; with `all`, every column that there is."""
    asked = asked_in(request.GET, request.principal, utc_now().date())
    groups = groups_for(request.principal) if request.GET.get("all") else [asked.by]
    rows = usage_grouped(usage_of(request.principal, asked.wanted), ("day", *groups))[: MOST_LINES + 1]
    lines = [
        [row["day"], *row["labels"], *(row[name] for name in USAGE_SUMS)]
        for row in told(rows, ("day", *groups))
    ]
    return _csv(request, asked, "usage", ["day", *groups, *USAGE_SUMS], lines)


@methods("GET")
@page("read")
def energy_csv(request: Request) -> HttpResponse:
    """Energy by day and node as CSV."""
    asked = asked_in(request.GET, request.principal, utc_now().date())
    table = energy_table(request.principal, asked, within_s=CSV_WITHIN_S)
    if table["left"]:
        messages.error(request, _("Not all days are summed up yet. Try again, and it goes on where it was."))
        return redirect(f"/usage/?{asked.query()}")
    lines = [
        [row["day"], row["name"], round(row["kwh"], 6), round(row["hours"], 3), row["tokens"]]
        for row in table["days"]
    ]
    names = ["day", "node", "kwh", "hours_known", "tokens"]
    if not request.principal.may("admin"):
        names, lines = names[:-1], [line[:-1] for line in lines]
    return _csv(request, asked, "energy", names, lines)


def _csv(request: Request, asked: Asked, what: str, names: list[str], lines: list[list[Any]]) -> HttpResponse:
    if len(lines) > MOST_LINES:
        messages.error(request, _("That is too much for one file. Choose fewer days or a filter."))
        return redirect(f"/usage/?{asked.query()}")
    response = HttpResponse(content_type="text/csv; charset=utf-8")
    # Spreadsheets take a file for UTF-8 only when it says so.
    response.write("\ufeff")
    writer = csv.writer(response)
    writer.writerows([names, *([_inert(cell) for cell in line] for line in lines)])
    name = f"dpl-{what}-{asked.first}-{asked.last}.csv"
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    response["Cache-Control"] = "no-store"
    return response


def _inert(cell: object) -> object:
    """Names are hostile: a spreadsheet must not run one as a formula."""
    is_formula = isinstance(cell, str) and cell.startswith(("=", "+", "-", "@", "\t", "\r"))
    return f"'{cell}" if is_formula else cell


def _days(found: Any, asked: Asked, number: str | None) -> Any:
    """One page of the table that is the truth: each day and group."""
    shown = Paginator(usage_grouped(found, ("day", asked.by)), PAGE_SIZE).get_page(number)
    shown.object_list = told(shown.object_list, ("day", asked.by))
    return shown


def _links(asked: Asked, principal: Principal) -> dict[str, list[dict[str, Any]]]:
    """The choices above the chart, as links that work without scripts."""
    return {
        "days": [
            {"name": days, "href": asked.query(days=str(days)), "is_on": asked.span == str(days)}
            for days in RANGES
        ],
        "by": _choices(asked, "by", ((name, GROUPS[name]) for name in groups_for(principal)), asked.by),
        "what": _choices(asked, "what", ((name, one[0]) for name, one in MEASURES.items()), asked.measure),
    }


def _choices(
    asked: Asked, field: str, pairs: Iterable[tuple[str, Any]], current: str
) -> list[dict[str, Any]]:
    return [
        {"name": label, "href": asked.query(**{field: name}), "is_on": name == current}
        for name, label in pairs
    ]


def _filters(asked: Asked) -> list[dict[str, Any]]:
    """Each filter that is set, in words, with the address without it."""
    return [
        {
            "name": GROUPS[name],
            "value": _value(name, asked.filters[name]),
            "href": asked.query(**{name: None}),
        }
        for name in FILTERS
        if name in asked.filters
    ]


def _value(name: str, value: str) -> str:
    if name == "key":
        found = ApiKey.objects.filter(pk=int(value)).values_list("name", "prefix").first()
        return (
            f"{found[0]} ({found[1]}…)"
            if found
            else f"#{value}"
            if value != "0"
            else _("no key: pages and jobs")
        )
    if name == "source":
        return str(SOURCES[UsageDay.Source(value)])
    return value or _("no engine had it")


def _narrowed(asked: Asked, row: dict[str, Any]) -> str:
    """The address of the same question for one group alone, looked at by something else."""
    if asked.by in asked.filters:
        return ""
    other = "node" if asked.by == "model" else "model"
    return asked.query(**{asked.by: str(row["value"]), "by": other})
