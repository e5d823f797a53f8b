"""One thing that is wrong, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass

ERROR = "error"
WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Finding:
    """`severity` is error or warning; `since` is ISO 8601 where it is known."""

    severity: str
    subject: str
    message: str
    what_to_do: str
    since: str | None = None

    def view(self) -> dict[str, str | None]:
        """As clients get it."""
        return {
            "severity": self.severity,
            "subject": self.subject,
            "message": self.message,
            "since": self.since,
            "what_to_do": self.what_to_do,
        }
