"""Energy from the history of power: kWh by node and day, and for how long it was known."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.cache import cache

from dpl_site.lib.db import now_ms
from nodes import energy
from nodes.answers import parse_status
from nodes.energy import energy_by_day
from nodes.history import Told, record_readings
from nodes.last_told import last_told
from nodes.models import Node
from nodes.rollups import HOUR_MS, MINUTE_MS
from tests.nodes.told import STATUS

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _nothing_remembered_of_others() -> Iterator[None]:
    last_told.forget_all()
    cache.clear()
    yield
    last_told.forget_all()
    cache.clear()


@pytest.fixture
def noon(monkeypatch: pytest.MonkeyPatch) -> int:
    """Noon of a day that is over, as the database's clock then is: the next day's evening."""
    yesterday = datetime.fromtimestamp(now_ms() / 1000, UTC).date() - timedelta(days=1)
    at = int(datetime(yesterday.year, yesterday.month, yesterday.day, 12, tzinfo=UTC).timestamp() * 1000)
    for module in ("energy", "series"):
        monkeypatch.setattr(f"nodes.{module}.now_ms", lambda: at + 30 * HOUR_MS)
    return at


def told(node: Node, at_ms: int, *watts: float | None) -> None:
    gpus = [STATUS["gpus"][0] | {"index": index, "power_w": one} for index, one in enumerate(watts)]
    status: dict[str, Any] = {**STATUS, "sampled_at": None, "gpus": gpus}
    record_readings(told=[Told(node.id, at_ms, parse_status(json.dumps(status).encode()))])


def day_of(at_ms: int) -> Any:
    return datetime.fromtimestamp(at_ms / 1000, UTC).date()


def test_power_over_time_is_energy_of_all_gpus(fast: Node, noon: int) -> None:
    for minutes in range(0, 120, 5):
        told(fast, noon + minutes * MINUTE_MS, 300.0, 100.0)
    found = energy_by_day([day_of(noon)]).known
    assert list(found) == [(day_of(noon), fast.id)]
    one = found[day_of(noon), fast.id]
    assert (round(one.kwh, 6), round(one.hours, 6)) == (0.8, 2.0)


def test_silence_counts_as_nothing_and_shows_in_the_hours(fast: Node, noon: int) -> None:
    told(fast, noon, 600.0)
    told(fast, noon + HOUR_MS, 600.0)
    one = energy_by_day([day_of(noon)]).known[day_of(noon), fast.id]
    assert (round(one.kwh, 6), round(one.hours, 4)) == (0.2, 0.3333)


def test_a_gpu_that_tells_no_power_is_unknown_and_not_zero(fast: Node, slow: Node, noon: int) -> None:
    told(fast, noon, None)
    told(slow, noon, 0.0)
    found = energy_by_day([day_of(noon)]).known
    assert [(node_id, one.kwh) for (_, node_id), one in found.items()] == [(slow.id, 0.0)]


def test_days_are_utc_days(fast: Node, noon: int) -> None:
    told(fast, noon + 12 * HOUR_MS - 1, 60.0)
    told(fast, noon + 12 * HOUR_MS, 120.0)
    today, tomorrow = day_of(noon), day_of(noon + 12 * HOUR_MS)
    found = energy_by_day([today, tomorrow]).known
    assert round(found[today, fast.id].kwh, 6) == 0.01
    assert round(found[tomorrow, fast.id].kwh, 6) == 0.02


def test_what_runs_now_counts_until_now(fast: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    now = now_ms() - now_ms() % (10 * MINUTE_MS) + 5 * MINUTE_MS
    for module in ("energy", "series"):
        monkeypatch.setattr(f"nodes.{module}.now_ms", lambda: now)
    told(fast, now - MINUTE_MS, 60.0)
    one = energy_by_day([day_of(now)]).known[day_of(now), fast.id]
    assert round(one.hours * 60, 3) == 5


def test_a_day_that_is_over_is_read_once(fast: Node, noon: int, monkeypatch: pytest.MonkeyPatch) -> None:
    told(fast, noon, 60.0)
    first = energy_by_day([day_of(noon)])
    monkeypatch.setattr(energy, "_integrated", lambda *_: {})
    # Two hours after its end it can still change; the fixture's clock is six hours after.
    assert energy_by_day([day_of(noon)]) == first


def test_a_day_to_come_has_none(fast: Node, noon: int) -> None:
    assert energy_by_day([day_of(noon) + timedelta(days=5)]).known == {}


def test_what_takes_too_long_is_left_for_the_next_time(fast: Node, noon: int) -> None:
    told(fast, noon, 60.0)
    day = day_of(noon)
    assert energy_by_day([day], within_s=-1).left == (day,)
    assert energy_by_day([day]).left == ()
    assert energy_by_day([day], within_s=-1).known, "what is remembered takes no time"
