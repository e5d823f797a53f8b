"""What a question for curves may ask, read from its query: which metrics, from when to when, at which step."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from dpl_site.lib.refusals import Refused
from nodes.measures import METRICS
from nodes.rollups import DAY_MS, HOUR_MS, MINUTE_MS, default_step_ms

USUAL_POINTS = 500
MOST_POINTS = 5_000
MOST_METRICS = 16
MOST_VALUES = 100_000
_UNITS = {"s": 1000, "m": MINUTE_MS, "h": HOUR_MS, "d": DAY_MS}
_RELATIVE = re.compile(r"(?:now)?(?:-(\d{1,9})([smhd]))?")
_LAST_MS = 253_402_300_799_000
"""The end of the year 9999: no later moment has a name."""
HOW = "Use ISO 8601 (2026-11-21T10:00:00Z), epoch milliseconds, or a time before now, such as -1h."


@dataclass(frozen=True, slots=True)
class Wanted:
    """A question that can be answered. `subjects` empty: all."""

    metrics: tuple[str, ...]
    subjects: tuple[str, ...]
    from_ms: int
    to_ms: int
    step_ms: int


def parse_wanted(
    *,
    metrics: Sequence[str],
    subjects: Sequence[str],
    from_: str | None,
    to: str | None,
    step: str | None,
    now_ms: int,
    interval_s: float,
) -> Wanted:
    """The question; without times the last hour, without a step one that gives USUAL_POINTS at most.

    `interval_s` is how often nodes are asked. Raises Refused, by field.
    """
    names = tuple(dict.fromkeys(name for text in metrics for name in text.split(",") if name))
    _check_metrics(names)
    to_ms = parse_moment(to or "now", field="to", now_ms=now_ms)
    from_ms = parse_moment(from_ or "-1h", field="from", now_ms=now_ms)
    if from_ms >= to_ms:
        raise _refused("from", "It must be before `to`.")
    step_ms = _step(step, to_ms - from_ms, interval_s)
    points = (to_ms - from_ms) // step_ms
    if points > MOST_POINTS:
        enough = -(-(to_ms - from_ms) // MOST_POINTS // 1000) or 1
        raise _refused(
            "step",
            f"That would be {points} points a curve; {MOST_POINTS} is the most. Use a step of {enough} s or more.",
        )
    return Wanted(names, tuple(dict.fromkeys(subjects)), from_ms, to_ms, step_ms)


def parse_moment(text: str, *, field: str, now_ms: int) -> int:
    """A moment in epoch milliseconds: `now`, `-1h`, ISO 8601 (UTC where it names no zone) or the number itself.

    Raises Refused for `field`.
    """
    relative = _RELATIVE.fullmatch(text)
    if text and relative:
        count, unit = relative.groups()
        return max(0, now_ms - int(count or 0) * _UNITS[unit or "s"])
    if text.isascii() and text.isdigit():
        found = int(text[:18])
    else:
        try:
            # A plus sign that nobody encoded arrives as a space.
            moment = datetime.fromisoformat(text.replace(" ", "+") if "T" in text else text)
            found = int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
        except (ValueError, OverflowError):
            raise _refused(field, f"{text[:60]!r} is no moment. {HOW}") from None
    if not 0 <= found <= _LAST_MS:
        raise _refused(field, f"{text[:60]!r} is out of range. {HOW}")
    return found


def check_size(values: int) -> None:
    """Raise Refused when an answer would hold more than MOST_VALUES points in all."""
    if values > MOST_VALUES:
        raise _refused(
            "step",
            f"That would be {values} points in all; {MOST_VALUES} is the most. "
            "Ask for fewer metrics or subjects, a longer step or a shorter time.",
        )


def _check_metrics(names: Sequence[str]) -> None:
    unknown = [name for name in names if name not in METRICS]
    if not names or unknown:
        which = f"There is no metric {unknown[0][:60]}." if unknown else "Say which."
        raise _refused("metric", f"{which} Use {', '.join(METRICS)}.")
    if len(names) > MOST_METRICS:
        raise _refused("metric", f"{MOST_METRICS} metrics at once is the most.")


def _step(text: str | None, span_ms: int, interval_s: float) -> int:
    if not text:
        return default_step_ms(span_ms=span_ms, most_points=USUAL_POINTS, interval_s=interval_s)
    found = re.fullmatch(r"(\d{1,9})([smhd]?)", text, re.ASCII)
    step_ms = int(found[1]) * _UNITS[found[2] or "s"] if found else 0
    if not 1000 <= step_ms <= 366 * DAY_MS:
        raise _refused("step", f"{text[:60]!r} is no step. Use whole seconds, such as 60, or 5m, 1h, 1d.")
    return step_ms


def _refused(field: str, message: str) -> Refused:
    return Refused(f"{field}: {message}", detail={field: [message]})
