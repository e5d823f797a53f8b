"""Reads the filters of a list from its query: days, moments, ids, words of a list. What is wrong is said by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time

from dpl_site.lib.refusals import Refused

MOST_DIGITS = 18
"""A number with more is no id: no database column holds it."""


def day_in(query: Mapping[str, str], name: str) -> date | None:
    """A day (UTC), also given as a moment; None when it is not asked for. Raises Refused."""
    moment = moment_in(query, name)
    return moment.date() if moment is not None else None


def moment_in(query: Mapping[str, str], name: str, *, end_of_day: bool = False) -> datetime | None:
    """A moment (ISO 8601; UTC when it names no zone), None when it is not asked for. Raises Refused.

    A bare day is its beginning, or its end.
    """
    text = query.get(name, "")
    if not text:
        return None
    try:
        if len(text) == 10:
            at = time.max if end_of_day else time.min
            return datetime.combine(date.fromisoformat(text), at, UTC)
        # A plus in a query that was not encoded arrives as a blank.
        moment = datetime.fromisoformat(text.replace(" ", "+"))
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        message = f"{name} must be a day like 2026-11-21 or a moment like 2026-11-21T10:00:00Z."
        raise _wrong(name, message) from None


def id_in(query: Mapping[str, str], name: str) -> int | None:
    """A number, None when it is not asked for. Raises Refused."""
    text = query.get(name, "")
    if not text:
        return None
    if not (text.isascii() and text.isdigit()) or len(text) > MOST_DIGITS:
        raise _wrong(name, f"{name} must be an id: a number.")
    return int(text)


def words_in(query: Mapping[str, str], name: str, allowed: Sequence[str]) -> tuple[str, ...]:
    """Words separated by commas, each once; empty when none is asked for. Raises Refused."""
    words = dict.fromkeys(word.strip() for word in query.get(name, "").split(",") if word.strip())
    for word in words:
        if word not in allowed:
            raise _wrong(name, f"{name} takes {', '.join(allowed)}; not {word[:40]!r}.")
    return tuple(words)


def _wrong(name: str, message: str) -> Refused:
    return Refused(message, code="invalid", detail={name: [message]})
