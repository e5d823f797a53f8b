"""What a visitor of the page of usage asks for: the days, the grouping, the measure, the filters. What makes no
sense is taken as not asked for, since a page should open whatever its address holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from urllib.parse import urlencode

from accounts.authentication import Principal
from accounts.models import UsageDay
from accounts.selectors import UsageFilter
from accounts.usage_view import GROUPS, MEASURES, days_between

RANGES = (7, 30, 90, 365)
USUAL = 30
MOST_DAYS = 731
FILTERS = ("user", "key", "model", "node", "source")


@dataclass(frozen=True, slots=True)
class Asked:
    """One question to usage. `filters` are those that are set, as texts."""

    first: date
    last: date
    by: str
    measure: str
    span: str
    filters: dict[str, str]

    @property
    def days(self) -> list[date]:
        """Each day of it."""
        return days_between(self.first, self.last)

    @property
    def wanted(self) -> UsageFilter:
        """As the selector takes it."""
        key, source = self.filters.get("key", ""), self.filters.get("source", "")
        return UsageFilter(
            since=self.first,
            until=self.last,
            user=self.filters.get("user", ""),
            key_id=int(key) if key else None,
            model=self.filters.get("model"),
            node=self.filters.get("node", ""),
            source=(source,) if source else (),
        )

    def query(self, **other: str | None) -> str:
        """The address of the same question with something changed; None takes it away."""
        dates = {"from": self.first.isoformat(), "to": self.last.isoformat()}
        own = dates if self.span == "own" else {"days": self.span}
        found: dict[str, str | None] = {**own, "by": self.by, "what": self.measure, **self.filters, **other}
        if other.get("days"):
            found |= {"from": None, "to": None}
        return urlencode({name: value for name, value in found.items() if value is not None})


def asked_in(query: Mapping[str, str], principal: Principal, today: date) -> Asked:
    """The question in a page's query."""
    first, last, span = _range(query, today)
    by, measure = query.get("by", ""), query.get("what", "")
    return Asked(
        first=first,
        last=last,
        by=by if by in groups_for(principal) else "model",
        measure=measure if measure in MEASURES else "tokens",
        span=span,
        filters=_filters(query, principal),
    )


def groups_for(principal: Principal) -> list[str]:
    """By what one may look: who sees himself alone needs no sums by person."""
    return [name for name in GROUPS if name != "user" or principal.may("admin")]


def _range(query: Mapping[str, str], today: date) -> tuple[date, date, str]:
    first, last = _day(query.get("from", "")), _day(query.get("to", ""))
    if first or last:
        last = min(last or today, today)
        first = max(min(first or last, last), last - timedelta(days=MOST_DAYS - 1))
        return first, last, "own"
    days = query.get("days", "")
    span = int(days) if days in map(str, RANGES) else USUAL
    return today - timedelta(days=span - 1), today, str(span)


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None  # what is no day is not asked for


def _filters(query: Mapping[str, str], principal: Principal) -> dict[str, str]:
    found = {name: query[name][:200] for name in FILTERS if query.get(name) or name == "model" in query}
    key = found.get("key", "")
    if key and not (key.isascii() and key.isdigit() and len(key) <= 18):
        del found["key"]
    if found.get("source", UsageDay.Source.GATEWAY) not in UsageDay.Source.values:
        del found["source"]
    if not principal.may("admin"):
        found.pop("user", None)
    return found
