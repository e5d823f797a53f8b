"""Usage as its page shows it: sums by group, the days of the largest groups, and rows for the table and the CSV."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any

from django.db.models import QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext_lazy

from accounts.models import UsageDay
from accounts.selectors import USAGE_GROUPS, USAGE_SUMS, names_of, usage_grouped

if TYPE_CHECKING:
    from django.utils.functional import _StrPromise

LARGEST = 7
"""Groups that the chart tells apart; the others are one."""
MEASURES: dict[str, tuple[_StrPromise, tuple[str, ...]]] = {
    "tokens": (gettext_lazy("Tokens"), ("prompt_tokens", "completion_tokens")),
    "requests": (gettext_lazy("Requests"), ("requests",)),
    "prompt": (gettext_lazy("Tokens read"), ("prompt_tokens",)),
    "completion": (gettext_lazy("Tokens written"), ("completion_tokens",)),
}
"""What the chart can show, and the sums that make it."""
GROUPS: dict[str, _StrPromise] = {
    "model": pgettext_lazy("usage by", "Model"),
    "user": pgettext_lazy("usage by", "Person"),
    "key": pgettext_lazy("usage by", "Key"),
    "node": pgettext_lazy("usage by", "Node"),
    "source": pgettext_lazy("usage by", "Source"),
}
SOURCES: dict[str, _StrPromise] = {
    UsageDay.Source.GATEWAY: gettext_lazy("requests"),
    UsageDay.Source.DATASETS: gettext_lazy("datasets"),
}


@dataclass(frozen=True, slots=True)
class Bars:
    """One bar per day: times in epoch milliseconds, and the named parts of each bar from the top down."""

    times: list[int]
    series: list[tuple[str, list[float | None]]]

    def view(self) -> dict[str, Any]:
        """As the page's script reads it."""
        return {
            "times": self.times,
            "series": [{"label": name, "values": values} for name, values in self.series],
        }


def days_between(first: date, last: date) -> list[date]:
    """Each day, both ends included."""
    return [first + timedelta(days=after) for after in range((last - first).days + 1)]


def epoch_ms(day: date) -> int:
    """A day's beginning (UTC)."""
    return int(datetime.combine(day, time.min, UTC).timestamp() * 1000)


def told(rows: Iterable[dict[str, Any]], groups: Sequence[str]) -> list[dict[str, Any]]:
    """Grouped sums with the names of what they are about, in `labels`, and with tokens in one sum."""
    rows = list(rows)
    people, keys = names_of({row.get("user_id", 0) for row in rows}, {row.get("key_id", 0) for row in rows})
    return [_row(row, groups, people, keys) for row in rows]


def group_sums(found: QuerySet[UsageDay], by: str, measure: str) -> list[dict[str, Any]]:
    """The groups with their sums and their share of the whole, the largest first."""
    rows = told(usage_grouped(found, (by,)), (by,))
    whole = sum(_measured(row, measure) for row in rows)
    for row in rows:
        row["share"] = _measured(row, measure) / whole if whole else None
    return sorted(rows, key=lambda row: (-_measured(row, measure), row["labels"][0]))


def bars(
    found: QuerySet[UsageDay], by: str, measure: str, days: list[date], largest: list[dict[str, Any]]
) -> Bars:
    """The chart: the largest groups apart, the others in one, a value for each day."""
    shown, column = largest[:LARGEST], USAGE_GROUPS[by]
    chosen = found.filter(**{f"{column}__in": [row["value"] for row in shown]})
    parts: dict[Any, dict[date, float]] = {row["value"]: {} for row in shown}
    for row in usage_grouped(chosen, ("day", by)):
        parts[row[column]][row["day"]] = _measured(_plain(row), measure)
    whole = {row["day"]: _measured(_plain(row), measure) for row in usage_grouped(found, ("day",))}
    series = [(row["labels"][0], _along(parts[row["value"]], days)) for row in shown]
    if len(largest) > LARGEST:
        rest = {day: sum_ - sum(part.get(day, 0) for part in parts.values()) for day, sum_ in whole.items()}
        series.append((_("the others"), _along(rest, days)))
    return Bars([epoch_ms(day) for day in days], series)


def _along(values: Mapping[date, float], days: list[date]) -> list[float | None]:
    """Nothing used is 0: it is known."""
    return [values.get(day, 0) for day in days]


def _measured(row: Mapping[str, Any], measure: str) -> int:
    return sum(row[name] for name in MEASURES[measure][1])


def _plain(row: Mapping[str, Any]) -> dict[str, int]:
    return {name: row[f"sum_{name}"] or 0 for name in USAGE_SUMS}


def _row(
    row: dict[str, Any], groups: Sequence[str], people: dict[int, str], keys: dict[int, str]
) -> dict[str, Any]:
    sums = _plain(row)
    labels = [_label(name, row, people, keys) for name in groups if name != "day"]
    last = row[USAGE_GROUPS[groups[-1]]]
    return {
        "day": row.get("day"),
        "labels": labels,
        "value": last,
        **sums,
        "tokens": sums["prompt_tokens"] + sums["completion_tokens"],
    }


def _label(name: str, row: dict[str, Any], people: dict[int, str], keys: dict[int, str]) -> str:
    """What a group is called; who or what is gone by its number."""
    value = row[USAGE_GROUPS[name]]
    if name == "user":
        return people.get(value) or f"#{value}"
    if name == "key":
        return (keys.get(value) or f"#{value}") if value else _("no key: pages and jobs")
    if name == "node":
        return (row["last_node_name"] or f"#{value}") if value else _("no node could take it")
    if name == "source":
        return str(SOURCES.get(value, value))
    return value or _("no engine had it")
