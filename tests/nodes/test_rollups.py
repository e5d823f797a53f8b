"""How history is thinned out: tiers that fit into each other, and points that say what the readings were."""

from __future__ import annotations

import math

import pytest

from nodes.rollups import (
    DAY_MS,
    HOUR_MS,
    MINUTE_MS,
    RAW,
    TIERS,
    Buckets,
    Point,
    Tier,
    aligned,
    default_step_ms,
    next_tier,
    tier_for,
)

NOW = 1_800_000_000_000


def test_the_tiers_are_those_of_the_design() -> None:
    assert [(tier.step_s, tier.keep_ms) for tier in TIERS] == [
        (0, HOUR_MS),
        (10, 6 * HOUR_MS),
        (60, 48 * HOUR_MS),
        (600, 30 * DAY_MS),
        (3600, 30 * DAY_MS),
    ]


@pytest.mark.parametrize("tier", TIERS[:-1], ids=str)
def test_a_block_covers_whole_blocks_of_the_finer_tier_and_is_over_before_those_go(tier: Tier) -> None:
    place = TIERS.index(tier)
    upper = next_tier(TIERS[place])
    assert upper is TIERS[place + 1]
    assert upper.block_ms % TIERS[place].block_ms == 0
    assert upper.block_ms % upper.step_ms == 0
    assert upper.block_ms < TIERS[place].keep_ms


def test_readings_become_their_mean_and_their_extremes() -> None:
    buckets = Buckets(10_000)
    buckets.add_readings([0, 2_000, 9_999, 10_000], [1.0, 5.0, 3.0, 7.0])
    assert buckets.points() == [Point(0, 3, 3.0, 1.0, 5.0), Point(10_000, 1, 7.0, 7.0, 7.0)]


def test_a_gap_has_no_point_and_what_is_unknown_is_no_zero() -> None:
    buckets = Buckets(10_000)
    buckets.add_readings([0, 10_000, 30_000], [1.0, math.nan, 2.0])
    assert [point.t_ms for point in buckets.points()] == [0, 30_000]


def test_a_mean_of_means_weighs_what_each_stands_for() -> None:
    whole, fine, coarse = Buckets(60_000), Buckets(10_000), Buckets(60_000)
    times = [0, 1_000, 2_000, 3_000, 30_000]
    values = [1.0, 1.0, 1.0, 1.0, 6.0]
    whole.add_readings(times, values)
    fine.add_readings(times, values)
    coarse.add_points(fine.points())
    assert coarse.points() == whole.points() == [Point(0, 5, 2.0, 1.0, 6.0)]


def test_points_and_readings_add_up_in_one_bucket() -> None:
    buckets = Buckets(60_000)
    buckets.add_points([Point(0, 3, 2.0, 1.0, 4.0)])
    buckets.add_readings([50_000], [10.0])
    assert buckets.points() == [Point(0, 4, 4.0, 1.0, 10.0)]


@pytest.mark.parametrize(
    ("step_s", "back_ms", "tier_s"),
    [
        (5, MINUTE_MS, 0),
        (10, MINUTE_MS, 10),
        (15, MINUTE_MS, 0),
        (90, MINUTE_MS, 10),
        (60, 2 * HOUR_MS, 60),
        (5, 2 * HOUR_MS, 10),
        (5, 7 * HOUR_MS, 60),
        (60, 3 * DAY_MS, 600),
        (3600, 3 * DAY_MS, 3600),
        (3600, 300 * DAY_MS, 3600),
    ],
)
def test_the_coarsest_tier_that_fits_answers_and_else_the_finest_that_reaches_back(
    step_s: int, back_ms: int, tier_s: int
) -> None:
    assert tier_for(step_ms=step_s * 1000, from_ms=NOW - back_ms, now_ms=NOW).step_s == tier_s


@pytest.mark.parametrize(
    ("span_ms", "step_s"),
    [(5 * MINUTE_MS, 5), (HOUR_MS, 10), (DAY_MS, 300), (30 * DAY_MS, 7200), (3000 * DAY_MS, 7 * 86_400)],
)
def test_a_chart_gets_five_hundred_points_at_most(span_ms: int, step_s: int) -> None:
    step_ms = default_step_ms(span_ms=span_ms, most_points=500, interval_s=2)
    assert step_ms == step_s * 1000
    assert span_ms / step_ms <= 500


def test_a_bucket_holds_two_readings_at_least() -> None:
    assert default_step_ms(span_ms=HOUR_MS, most_points=500, interval_s=60) == 120_000


def test_a_gap_is_none_in_its_place() -> None:
    points = [Point(0, 1, 1.0, 1.0, 1.0), Point(20, 1, 2.0, 2.0, 2.0)]
    assert aligned(points, times=range(0, 40, 10)) == [points[0], None, points[1], None]


def test_the_first_tier_is_the_readings_themselves() -> None:
    assert TIERS[0] is RAW
    assert RAW.step_ms == 0
