"""History as rows: readings added, rolled up, pruned; the same from rows alone, whoever died in between."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from nodes import history, series
from nodes.answers import parse_status
from nodes.history import Told, is_roll_up_due, prune_history, record_past, record_readings, roll_up
from nodes.last_told import last_told
from nodes.measures import Figure
from nodes.models import HistoryBlock, Node
from nodes.payloads import Status
from nodes.rollups import DAY_MS, HOUR_MS, MINUTE_MS, TIERS
from tests.nodes.told import STATUS

pytestmark = pytest.mark.django_db

TEN_MINUTES = 10 * MINUTE_MS
START = 1_800_000_000_000 - 1_800_000_000_000 % (5 * DAY_MS)
"""A moment at which a block of every tier begins."""
EVER = 10**6
CPU = Figure("cpu_percent")


class Clock:
    """The database's clock as history reads it."""

    def __init__(self) -> None:
        self.ms = START

    def __call__(self) -> int:
        return self.ms


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    made = Clock()
    monkeypatch.setattr(history, "now_ms", made)
    monkeypatch.setattr(series, "now_ms", made)
    last_told.forget_all()
    yield made
    last_told.forget_all()


def status(cpu: float | None, **changes: Any) -> Status:
    told: dict[str, Any] = {**STATUS, "sampled_at": None, "cpu": {"percent": cpu}, **changes}
    return parse_status(json.dumps(told).encode())


def told(node: Node, at_ms: int, cpu: float | None = 1.0, **changes: Any) -> None:
    record_readings(told=[Told(node.id, at_ms, status(cpu, **changes))])


def cpu_of(node: Node, *, minutes: float, step_s: int, since: int = START) -> list[float | None]:
    (found,) = series.window(
        node_id=node.id,
        metrics=["cpu_percent"],
        from_ms=since,
        to_ms=since + int(minutes * MINUTE_MS),
        step_ms=step_s * 1000,
    )
    if not found.curves:
        return [None] * len(found.times)
    (curve,) = found.curves
    return [point and point.mean for point in curve.points]


def tiers() -> list[int]:
    return list(HistoryBlock.objects.order_by("step_s", "start_ms").values_list("step_s", flat=True))


class TestReadings:
    """What a tick adds."""

    def test_readings_of_twenty_seconds_share_a_row(self, fast: Node, slow: Node) -> None:
        for second in range(0, 40, 2):
            record_readings(
                told=[Told(node.id, START + second * 1000, status(second)) for node in (fast, slow)]
            )
        assert HistoryBlock.objects.count() == 4
        assert cpu_of(fast, minutes=0.5, step_s=10) == [4.0, 14.0, 24.0]

    def test_a_tick_is_one_statement_whatever_the_fleet(self, fast: Node, slow: Node) -> None:
        with CaptureQueriesContext(
            connection,
        ) as queries:
            record_readings(told=[Told(node.id, START, status(1.0)) for node in (fast, slow)])
        assert len(queries) == 1

    def test_a_figure_that_is_missing_now_and_then_takes_no_row_of_its_own(self, fast: Node) -> None:
        told(fast, START, 5.0)
        told(fast, START + 2_000, None)
        told(fast, START + 4_000, 7.0)
        assert HistoryBlock.objects.count() == 1
        assert cpu_of(fast, minutes=0.1, step_s=2) == [5.0, None, 7.0]

    def test_a_gpu_that_vanishes_leaves_a_gap(self, fast: Node) -> None:
        told(fast, START)
        told(fast, START + 2_000, gpus=[], gpu_error="it fell off the bus")
        told(fast, START + 4_000)
        (found,) = series.window(
            node_id=fast.id, metrics=["gpu_power_w"], from_ms=START, to_ms=START + 6_000, step_ms=2_000
        )
        assert [curve.subject for curve in found.curves] == ["0"]
        assert [point and point.mean for point in found.curves[0].points] == [300.5, None, 300.5]

    def test_an_agent_that_measures_no_more_leaves_a_gap(self, fast: Node) -> None:
        for second in (0, 2, 4):
            told(fast, START + second * 1000, sampled_at="2026-11-21T10:00:00.000Z")
        told(fast, START + 6_000, sampled_at="2026-11-21T10:00:06.000Z")
        assert cpu_of(fast, minutes=8 / 60, step_s=2) == [1.0, None, None, 1.0]

    def test_another_process_goes_on_in_the_same_row(self, fast: Node) -> None:
        told(fast, START, 1.0)
        last_told.forget_all()
        told(fast, START + 2_000, 3.0)
        assert HistoryBlock.objects.count() == 1
        assert cpu_of(fast, minutes=0.1, step_s=2) == [1.0, 3.0, None]

    def test_a_row_grows_up_to_its_limit(self, fast: Node, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(history, "MOST_BYTES", 300)
        for step in range(100):
            told(fast, START + step)
        assert len(HistoryBlock.objects.get().data) < 400


class TestRollUp:
    """From readings to points, tier by tier."""

    def fill(self, node: Node, *, since: int, until: int, every: int) -> None:
        rows = [(at, status(at // every % 7)) for at in range(since, until, every)]
        for at, one in rows:
            record_readings(told=[Told(node.id, at, one)])

    def test_a_stretch_is_rolled_up_when_it_is_over(self, fast: Node, clock: Clock) -> None:
        self.fill(fast, since=START, until=START + TEN_MINUTES, every=10_000)
        clock.ms = START + TEN_MINUTES - 1
        assert not is_roll_up_due()
        assert roll_up(within_s=EVER) == 0
        clock.ms += 1
        assert is_roll_up_due()
        assert roll_up(within_s=EVER) == 1
        assert not is_roll_up_due()
        assert tiers() == [0] * 30 + [10]

    def test_a_curve_is_the_same_before_and_after(self, fast: Node, clock: Clock) -> None:
        self.fill(fast, since=START, until=START + HOUR_MS, every=20_000)
        clock.ms = START + HOUR_MS
        before = cpu_of(fast, minutes=60, step_s=60)
        assert roll_up(within_s=EVER) == 6 + 1
        assert tiers() == [0] * 180 + [10] * 6 + [60]
        assert cpu_of(fast, minutes=60, step_s=60) == pytest.approx(before)
        HistoryBlock.objects.exclude(step_s=60).delete()
        assert cpu_of(fast, minutes=60, step_s=60) == pytest.approx(before)

    def test_doing_it_twice_changes_nothing(self, fast: Node, clock: Clock) -> None:
        self.fill(fast, since=START, until=START + TEN_MINUTES, every=10_000)
        clock.ms = START + TEN_MINUTES
        roll_up(within_s=EVER)
        once = [bytes(row.data) for row in HistoryBlock.objects.filter(step_s=10)]
        # As if it had been killed before it could say that these are done.
        HistoryBlock.objects.filter(step_s=0, start_ms__gt=START).update(is_rolled=False)
        roll_up(within_s=EVER)
        assert [bytes(row.data) for row in HistoryBlock.objects.filter(step_s=10)] == once

    def test_it_does_a_little_at_a_time(self, fast: Node, slow: Node, clock: Clock) -> None:
        for node in (fast, slow):
            told(node, START)
        clock.ms = START + TEN_MINUTES
        assert roll_up(within_s=0) == 1
        assert roll_up(within_s=0) == 1
        assert roll_up(within_s=0) == 0

    def test_the_time_that_a_controller_was_away_is_a_gap(self, fast: Node, clock: Clock) -> None:
        told(fast, START, 1.0)
        told(fast, START + 5 * HOUR_MS, 2.0)
        clock.ms = START + 6 * HOUR_MS
        roll_up(within_s=EVER)
        found = cpu_of(fast, minutes=6 * 60, step_s=3600)
        assert found == [1.0, None, None, None, None, 2.0]

    def test_a_month_becomes_points_of_an_hour(self, fast: Node, clock: Clock) -> None:
        for hour in range(0, 24, 6):
            told(fast, START + hour * HOUR_MS, float(hour))
        clock.ms = START + DAY_MS
        roll_up(within_s=EVER)
        rows = HistoryBlock.objects.filter(step_s=3600)
        assert [(row.start_ms, row.is_rolled) for row in rows] == [(START, True)]
        found = cpu_of(fast, minutes=24 * 60, step_s=3600)
        assert [at for at, value in enumerate(found) if value is not None] == [0, 6, 12, 18]

    def test_a_broken_row_is_passed_over_and_the_rest_goes_on(
        self, fast: Node, clock: Clock, caplog: pytest.LogCaptureFixture
    ) -> None:
        told(fast, START, 1.0)
        told(fast, START + MINUTE_MS, 2.0)
        HistoryBlock.objects.filter(start_ms=START).update(data=b"rubbish")
        clock.ms = START + TEN_MINUTES
        assert roll_up(within_s=EVER) == 1
        assert not is_roll_up_due()
        assert "broken" in caplog.text
        assert cpu_of(fast, minutes=2, step_s=60) == [None, 2.0]


class TestThePast:
    """Readings that come late."""

    def test_they_are_in_the_curve_at_their_time(self, fast: Node, clock: Clock) -> None:
        clock.ms = START + 10_000
        told(fast, START + 8_000, 8.0)
        assert record_past(fast.id, [(START + second * 1000, status(second)) for second in (0, 2, 4)]) == 3
        assert cpu_of(fast, minutes=10 / 60, step_s=2) == [0.0, 2.0, 4.0, None, 8.0]

    def test_what_was_told_already_is_not_added_again(self, fast: Node, clock: Clock) -> None:
        clock.ms = START + 10_000
        samples = [(START + second * 1000, status(second)) for second in (0, 2, 4)]
        assert record_past(fast.id, samples) == 3
        assert record_past(fast.id, samples) == 0

    def test_a_stretch_that_was_rolled_up_is_made_anew(self, fast: Node, clock: Clock) -> None:
        told(fast, START, 1.0)
        clock.ms = START + HOUR_MS // 2
        roll_up(within_s=EVER)
        # One in a row that is there, which says anew that it is to be rolled up, and one in a row of its own.
        for late in (START + 2_000, START + MINUTE_MS):
            last_told.forget_all()
            assert record_past(fast.id, [(late, status(5.0))]) == 1
            assert is_roll_up_due()
            roll_up(within_s=EVER)
        HistoryBlock.objects.filter(step_s=0).delete()
        assert cpu_of(fast, minutes=2, step_s=60) == [3.0, 5.0]

    def test_what_is_too_old_or_yet_to_come_is_not_taken(self, fast: Node, clock: Clock) -> None:
        clock.ms = START + HOUR_MS
        assert record_past(fast.id, [(START, status(1.0)), (clock.ms + MINUTE_MS, status(1.0))]) == 0
        assert tiers() == []

    def test_nothing_is_nothing(self, fast: Node) -> None:
        assert record_past(fast.id, []) == 0


class TestPruning:
    """What goes, and when."""

    def test_readings_go_after_an_hour_when_the_next_tier_has_them(self, fast: Node, clock: Clock) -> None:
        told(fast, START)
        told(fast, START + TEN_MINUTES)
        clock.ms = START + HOUR_MS + TEN_MINUTES
        assert prune_history() == 0, "they are not rolled up yet"
        roll_up(within_s=EVER)
        assert prune_history() == 1
        assert prune_history() == 0
        assert cpu_of(fast, minutes=11, step_s=600) == [1.0, 1.0]

    def test_what_could_not_be_rolled_up_goes_a_day_later(self, fast: Node, clock: Clock) -> None:
        told(fast, START)
        clock.ms = START + DAY_MS + HOUR_MS + TEN_MINUTES
        assert prune_history() == 1

    def test_the_last_tiers_go_after_the_days_of_the_setting(
        self, fast: Node, clock: Clock, settings: Settings
    ) -> None:
        told(fast, START)
        clock.ms = START + 5 * DAY_MS
        roll_up(within_s=EVER)
        settings.DPL_KEEP_HISTORY_DAYS = 7
        while prune_history():
            continue
        assert tiers() == [600, 3600]
        clock.ms = START + 9 * DAY_MS
        while prune_history():
            continue
        assert tiers() == []

    def test_it_takes_small_steps(self, fast: Node, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
        for step in range(5):
            told(fast, START + step * 20_000)
        clock.ms = START + 2 * DAY_MS
        monkeypatch.setattr(history, "MOST_PRUNED", 2)
        assert [prune_history() for _ in range(4)] == [2, 2, 1, 0]


def test_a_node_keeps_few_rows_however_long_it_is_watched() -> None:
    rows = [tier.keep_ms // tier.block_ms + 2 for tier in TIERS]
    assert sum(rows) < 500


def test_an_agent_that_invents_figures_is_bounded_and_named(
    fast: Node, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for tick in range(20):
        mounts = [{"mount": f"/{tick}-{n}", "percent": 5.0} for n in range(60)]
        told(fast, START + tick * 2_000, filesystems=mounts)
    clock.ms = START + TEN_MINUTES
    with caplog.at_level(logging.WARNING):
        roll_up(within_s=EVER)
    assert "its history keeps 512" in caplog.text
