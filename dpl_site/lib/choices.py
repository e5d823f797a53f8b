"""Words that a column may hold, without Django, so that the pure modules which name them stay pure."""

from __future__ import annotations

from enum import StrEnum


class Choices(StrEnum):
    """Text choices."""

    @classmethod
    def pairs(cls) -> list[tuple[str, str]]:
        """What a column's `choices` wants."""
        return [(member.value, member.value) for member in cls]
