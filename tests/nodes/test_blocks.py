"""History in bytes: what was packed is read again, and what is no block is refused."""

from __future__ import annotations

import math

import pytest

from nodes.blocks import (
    BrokenBlock,
    RawBlock,
    RolledBlock,
    layout_key,
    layout_of,
    layout_read,
    layout_text,
    pack_points,
    pack_reading,
)
from nodes.measures import Figure
from nodes.rollups import MOST_FIGURES, TIERS, Point

CPU, GPU0, ROOT = Figure("cpu_percent"), Figure("gpu_power_w", "0"), Figure("filesystem_percent", "/mnt/a b")
LAYOUT = layout_of([ROOT, CPU, GPU0])
TEN_SECONDS = TIERS[1]
START = TEN_SECONDS.start_of(1_800_000_000_000)


def test_a_layout_is_the_same_for_the_same_figures_and_survives_as_text() -> None:
    assert layout_of([CPU, GPU0, ROOT]) == LAYOUT
    assert layout_read(layout_text(LAYOUT)) == LAYOUT
    assert layout_key(LAYOUT) != layout_key(layout_of([CPU]))
    assert 0 <= layout_key(LAYOUT) < 2**63


def test_readings_are_read_as_they_were_added_one_by_one() -> None:
    first = pack_reading(LAYOUT, {CPU: 12.5, GPU0: 300.0, ROOT: 50.0}, 0)
    second = pack_reading(LAYOUT, {CPU: 0.0, ROOT: 50.5}, 2_000)
    block = RawBlock(LAYOUT, START, first + second)
    assert block.times == [START, START + 2_000]
    assert list(block.values(CPU)) == [12.5, 0.0]
    power = block.values(GPU0)
    assert power[0] == 300.0
    assert math.isnan(power[1]), "a figure that is not told is unknown, not 0"


def test_large_figures_keep_seven_digits() -> None:
    used = 123_456_789_012.0
    block = RawBlock(layout_of([CPU]), 0, pack_reading(layout_of([CPU]), {CPU: used}, 0))
    assert block.values(CPU)[0] == pytest.approx(used, rel=1e-7)


def test_points_are_read_as_they_were_packed_and_gaps_stay_gaps() -> None:
    points = [Point(START, 5, 2.0, 1.0, 3.0), Point(START + 590_000, 1, 7.5, 7.5, 7.5)]
    layout, data = pack_points(TEN_SECONDS, START, {CPU: points, GPU0: []})
    block = RolledBlock(TEN_SECONDS, layout, START, data)
    assert block.points(CPU) == points
    assert block.points(GPU0) == []


def test_an_agent_that_invents_figures_loses_those_that_it_told_least() -> None:
    series = {
        Figure("gpu_power_w", str(n)): [Point(START, 1, 1.0, 1.0, 1.0)] for n in range(2 * MOST_FIGURES)
    }
    series[CPU] = [Point(START, 2, 1.0, 1.0, 1.0)]
    layout, _ = pack_points(TEN_SECONDS, START, series)
    assert len(layout) == MOST_FIGURES
    assert CPU in layout


@pytest.mark.parametrize("data", [b"", b"rubbish", b"\x00" * 100])
def test_what_is_no_rolled_up_block_is_refused(data: bytes) -> None:
    with pytest.raises(BrokenBlock):
        RolledBlock(TEN_SECONDS, LAYOUT, START, data)


def test_half_a_record_is_refused() -> None:
    with pytest.raises(BrokenBlock):
        RawBlock(LAYOUT, START, pack_reading(LAYOUT, {}, 0)[:-1])
