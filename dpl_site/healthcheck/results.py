"""What came of one check and of a round of them, and what follows for a script. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class State(StrEnum):
    """ok; warning: it works, but look at it; failed; skipped: it is not there, or was not asked, with the reason."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Result:
    """One check: what was checked, how it is, in words, and how long that took."""

    check: str
    state: State
    message: str
    seconds: float = 0.0

    def view(self) -> dict[str, Any]:
        """For programs."""
        return {
            "check": self.check,
            "state": self.state.value,
            "message": self.message,
            "seconds": round(self.seconds, 3),
        }


@dataclass(frozen=True, slots=True)
class Round:
    """One round of checks; `at` is ISO 8601."""

    at: str
    results: Sequence[Result]

    @property
    def is_ok(self) -> bool:
        """Whether nothing failed."""
        return not any(result.state is State.FAILED for result in self.results)

    def exit_code(self, *, is_strict: bool) -> int:
        """0 when all is well, 1 when something failed; warnings count as failures where that is asked for."""
        warns = any(result.state is State.WARNING for result in self.results)
        return 0 if self.is_ok and not (is_strict and warns) else 1

    def view(self) -> dict[str, Any]:
        """For programs."""
        return {"ok": self.is_ok, "at": self.at, "checks": [result.view() for result in self.results]}

    def summary(self) -> str:
        """`7 ok, 1 warning, 1 failed`."""
        counted = Counter(result.state for result in self.results)
        return ", ".join(f"{counted[state]} {state.value}" for state in State if counted[state])


def ok(check: str, message: str = "", seconds: float = 0.0) -> Result:
    """It is well."""
    return Result(check, State.OK, message, seconds)


def warning(check: str, message: str, seconds: float = 0.0) -> Result:
    """It works, but somebody should look at it."""
    return Result(check, State.WARNING, message, seconds)


def failed(check: str, message: str, seconds: float = 0.0) -> Result:
    """It does not work."""
    return Result(check, State.FAILED, message, seconds)


def skipped(check: str, message: str) -> Result:
    """It is not there, or was not asked."""
    return Result(check, State.SKIPPED, message)
