"""Decides when a process that ended is started again, and when that is of no use. Pure: it knows no clock.

Named tuples, not dataclasses: the supervisor that holds them stays small.
"""

from __future__ import annotations

from typing import NamedTuple

FIRST_DELAY_S = 0.2
LONGEST_DELAY_S = 10.0
STEADY_LIFE_S = 30.0

CONFIG_ERROR = 78
CONFIG_ERROR_LIFE_S = 2.0
CONFIG_ERROR_AGE_S = 60.0
CONFIG_ERROR_LIMIT = 5


class History(NamedTuple):
    """What is remembered of a process from one end to the next."""

    delay_s: float = 0.0
    config_errors: int = 0


class Decision(NamedTuple):
    """`restart_in_s` is None when the process is not to be started again; `history` is for the next end."""

    restart_in_s: float | None
    history: History
    reason: str


def decide(history: History, *, code: int, lived_s: float, age_s: float) -> Decision:
    """What to do about a process that ended with `code` (negative: by that signal).

    `lived_s` counts from its latest start, `age_s` from its first. Every end is followed by a restart, exit
    code 0 too, but for a configuration error that is said again and again: it needs a person.
    """
    is_config_error = code == CONFIG_ERROR and lived_s <= CONFIG_ERROR_LIFE_S and age_s <= CONFIG_ERROR_AGE_S
    errors = history.config_errors + is_config_error
    if errors >= CONFIG_ERROR_LIMIT:
        return Decision(None, History(history.delay_s, errors), "its configuration is wrong")
    if lived_s >= STEADY_LIFE_S or not history.delay_s:
        delay_s = FIRST_DELAY_S
    else:
        delay_s = min(history.delay_s * 2, LONGEST_DELAY_S)
    return Decision(delay_s, History(delay_s, errors), "it is to run always")
