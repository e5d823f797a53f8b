"""Reads what a range query asks: `query`, `start`, `end`, `step`, within Prometheus' own limits. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from dpl_site.prometheus.errors import QueryError

MOST_POINTS = 11_000
"""Points of a series, Prometheus' limit."""
LONGEST_QUERY = 5_000
_LAST_S = 253_402_300_799.0
"""The end of the year 9999."""
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0, "y": 31_536_000.0}
_DURATION = re.compile(r"(?:\d{1,12}(?:ms|[smhdwy]))+", re.ASCII)
_NUMBER = re.compile(r"[+-]?(?:\d{1,30}\.?\d{0,30}|\.\d{1,30})(?:[eE][+-]?\d{1,3})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Range:
    """A query and the moments that it is asked for: from `start_s` on, each `step_s`, to `end_s`; seconds."""

    query: str
    start_s: float
    end_s: float
    step_s: float

    @property
    def points(self) -> int:
        """How many moments that are."""
        return math.floor((self.end_s - self.start_s) / self.step_s) + 1


def read_range(told: Mapping[str, str]) -> Range:
    """The range query in a request's parameters. Raises QueryError."""
    query = told.get("query", "").strip()
    if not query:
        raise QueryError('invalid parameter "query": it is missing')
    if len(query) > LONGEST_QUERY:
        raise QueryError(f'invalid parameter "query": it is longer than {LONGEST_QUERY} characters')
    found = Range(query, _moment(told, "start"), _moment(told, "end"), _step(told))
    if found.end_s < found.start_s:
        raise QueryError('invalid parameter "end": end timestamp must not be before start time')
    if (found.end_s - found.start_s) / found.step_s > MOST_POINTS:
        least = math.ceil((found.end_s - found.start_s) / MOST_POINTS)
        raise QueryError(
            f"exceeded maximum resolution of {MOST_POINTS:,} points per timeseries. "
            f"Try decreasing the query resolution (?step={least})"
        )
    return found


def _moment(told: Mapping[str, str], name: str) -> float:
    """Epoch seconds or RFC 3339."""
    text = told.get(name, "").strip()
    value = _number(text)
    if value is None:
        try:
            moment = datetime.fromisoformat(text)
            value = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        except (ValueError, OverflowError):
            raise _bad(name, text, "to a valid timestamp") from None
    if not 0 <= value <= _LAST_S:
        raise _bad(name, text, "to a valid timestamp")
    return value


def _step(told: Mapping[str, str]) -> float:
    """Seconds, or a duration such as 1h30m."""
    text = told.get("step", "").strip()
    value = _number(text)
    if value is None and _DURATION.fullmatch(text):
        parts = re.findall(r"(\d+)(ms|[smhdwy])", text)
        value = sum(int(count) * _UNITS[unit] for count, unit in parts)
    if value is None or value > _LAST_S:
        raise _bad("step", text, "to a valid duration")
    if value <= 0:
        raise QueryError(
            'invalid parameter "step": zero or negative query resolution step widths are not accepted. '
            "Try a positive integer"
        )
    if value < 0.001:
        raise QueryError('invalid parameter "step": less than a millisecond')
    return value


def _number(text: str) -> float | None:
    return float(text) if _NUMBER.fullmatch(text) else None


def _bad(name: str, text: str, what: str) -> QueryError:
    return QueryError(f'invalid parameter "{name}": cannot parse "{text[:60]}" {what}')
