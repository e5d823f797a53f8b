"""How instants are written: ISO 8601 with `Z` outside, epoch milliseconds inside."""

from __future__ import annotations

from datetime import UTC, datetime


def iso(moment: datetime | None) -> str | None:
    """An aware datetime as `2026-11-21T10:00:00.000Z`; None stays None."""
    if moment is None:
        return None
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def iso_ms(epoch_ms: int | None) -> str | None:
    """Epoch milliseconds as `2026-11-21T10:00:00.000Z`; None stays None."""
    return None if epoch_ms is None else iso(datetime.fromtimestamp(epoch_ms / 1000, UTC))


def utc_now() -> datetime:
    """This process's clock, aware, UTC."""
    return datetime.now(UTC)
