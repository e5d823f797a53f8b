"""Energy as the page of usage shows it: each node's sum beside its tokens, its days, and bars for the chart."""

from __future__ import annotations

from collections import defaultdict
from datetime import date
from typing import Any

from django.db.models import Sum
from django.utils.translation import gettext as _

from accounts.authentication import Principal
from accounts.models import UsageDay
from accounts.usage_view import LARGEST, Bars, epoch_ms
from nodes.energy import WITHIN_S, Energy, energy_by_day
from nodes.models import Node
from nodes.usage_asked import Asked

NOTHING = Energy(0.0, 0.0)
_Days = dict[tuple[date, int], Energy]


def energy_table(principal: Principal, asked: Asked, *, within_s: float = WITHIN_S) -> dict[str, Any]:
    """What is known of the energy of the nodes that are asked for; all lists are empty where nothing is known.

    `left` is how many days are not summed up yet.
    """
    names = _nodes(asked)
    found = energy_by_day(asked.days, within_s=within_s)
    known = {key: one for key, one in found.known.items() if key[1] in names}
    tokens = _tokens(asked) if principal.may("admin") else {}
    sums = _sums(known)
    against = _beside(known, tokens)
    nodes = [_told(names[node_id], one, against.get(node_id)) for node_id, one in sums.items()]
    days = [
        {"day": day, **_told(names[node_id], one, tokens.get((day, node_id)))}
        for (day, node_id), one in sorted(
            known.items(), key=lambda pair: (-pair[0][0].toordinal(), pair[0][1])
        )
    ]
    return {
        "nodes": nodes,
        "days": days,
        "kwh": sum(one.kwh for one in sums.values()) if sums else None,
        "chart": _bars(known, asked.days, list(sums), names).view(),
        "has_tokens": principal.may("admin"),
        "left": len(found.left),
    }


def _nodes(asked: Asked) -> dict[int, str]:
    """Node id → name, of those that the filter lets through."""
    wanted = asked.filters.get("node", "")
    pairs = dict(Node.objects.values_list("id", "name"))
    return {key: name for key, name in pairs.items() if not wanted or wanted in (name, str(key))}


def _tokens(asked: Asked) -> dict[tuple[date, int], int]:
    """(day, node id) → tokens of everybody, read and written."""
    rows = (
        UsageDay.objects.filter(day__gte=asked.first, day__lte=asked.last)
        .exclude(node_id=0)
        .order_by()
        .values_list("day", "node_id")
        .annotate(read=Sum("prompt_tokens"), written=Sum("completion_tokens"))
    )
    return {(day, node_id): read + written for day, node_id, read, written in rows}


def _sums(known: _Days) -> dict[int, Energy]:
    """Node id → energy of all days, the largest first."""
    sums: defaultdict[int, Energy] = defaultdict(lambda: NOTHING)
    for (_day, node_id), one in known.items():
        sums[node_id] = sums[node_id] + one
    return dict(sorted(sums.items(), key=lambda pair: (-pair[1].kwh, pair[0])))


def _beside(known: _Days, tokens: dict[tuple[date, int], int]) -> dict[int, int]:
    """Node id → the tokens of the days whose energy is known: only those may be set against it."""
    found: defaultdict[int, int] = defaultdict(int)
    for key in known:
        found[key[1]] += tokens.get(key, 0)
    return dict(found) if tokens else {}


def _told(name: str, energy: Energy, tokens: int | None) -> dict[str, Any]:
    return {
        "name": name,
        "kwh": energy.kwh,
        "hours": energy.hours,
        "tokens": tokens,
        "wh_per_1000": energy.kwh * 1e6 / tokens if tokens else None,
    }


def _bars(known: _Days, days: list[date], largest: list[int], names: dict[int, str]) -> Bars:
    """The largest nodes apart, the others in one; None on days of which nothing is known."""
    shown, rest = largest[:LARGEST], set(largest[LARGEST:])
    series = [(names[node_id], [_kwh(known.get((day, node_id))) for day in days]) for node_id in shown]
    if rest:
        by_day: defaultdict[date, float] = defaultdict(float)
        for (day, node_id), one in known.items():
            by_day[day] += one.kwh if node_id in rest else 0.0
        series.append((_("the others"), [by_day.get(day) for day in days]))
    return Bars([epoch_ms(day) for day in days], series)


def _kwh(energy: Energy | None) -> float | None:
    return energy.kwh if energy else None
