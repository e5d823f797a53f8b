"""Vendors are asked in turn; one that fails rests ever longer and harms no other."""

from __future__ import annotations

import contextlib

import pytest

from agent.gpus import GpuAbsentError, GpuReading, GpuUnavailableError
from agent.gpus.paced import Paced
from agent.gpus.rows import unknown_gpu
from agent.gpus.survey import FIRST_RETRY_S, LONGEST_RETRY_S, GpuSurvey, sources
from agent.payloads import GpuPayload
from tests.agent.test_lock import Clock


def gpu(vendor: str, index: int = 0) -> GpuPayload:
    return unknown_gpu(vendor, index)


class Vendor:
    """A vendor that fails as long as it has an error."""

    def __init__(self, vendor: str, error: GpuUnavailableError | None = None, *, cards: int = 1) -> None:
        self.vendor = vendor
        self.error = error
        self.cards = cards
        self.asked = 0
        self.closed = 0

    def read(self) -> GpuReading:
        self.asked += 1
        if self.error is not None:
            raise self.error
        return GpuReading((gpu(self.vendor),) * self.cards)

    def close(self) -> None:
        self.closed += 1


def test_it_joins_all_vendors() -> None:
    reading = GpuSurvey([Vendor("a"), Vendor("b", cards=2)], Clock()).read()
    assert [(row["vendor"], row["index"]) for row in reading.gpus] == [("a", 0), ("b", 1), ("b", 2)]
    assert reading.error is None


def test_a_gpu_keeps_its_place_while_another_vendor_is_silent() -> None:
    clock, first = Clock(), Vendor("a", cards=2)
    survey = GpuSurvey([first, Vendor("b")], clock)
    assert [row["index"] for row in survey.read().gpus] == [0, 1, 2]
    first.error = GpuUnavailableError("reloaded")
    assert [(row["vendor"], row["index"]) for row in survey.read().gpus] == [("b", 2)]


def test_a_broken_vendor_is_reported_beside_the_others() -> None:
    reading = GpuSurvey([Vendor("a", GpuUnavailableError("broken")), Vendor("b")], Clock()).read()
    assert [row["vendor"] for row in reading.gpus] == ["b"]
    assert reading.error == "broken"


def test_an_absent_driver_matters_only_where_there_is_no_other_gpu() -> None:
    absent = GpuAbsentError("no driver")
    assert GpuSurvey([Vendor("a", absent), Vendor("b")], Clock()).read().error is None
    assert GpuSurvey([Vendor("a", absent)], Clock()).read() == GpuReading(error="no driver")


def test_an_absent_driver_does_not_hide_what_is_wrong_with_another() -> None:
    vendors = [Vendor("a", GpuAbsentError("no driver")), Vendor("b", GpuUnavailableError("broken"))]
    assert GpuSurvey(vendors, Clock()).read() == GpuReading(error="broken")
    both = [Vendor("a", GpuAbsentError("no a")), Vendor("b", GpuAbsentError("no b"))]
    assert GpuSurvey(both, Clock()).read() == GpuReading(error="no a; no b")


def test_a_vendor_that_is_slow_to_ask_is_asked_less_often() -> None:
    clock, vendor = Clock(), Vendor("a")
    paced = Paced(vendor, 6.0, clock)
    for _ in range(6):
        assert len(paced.read().gpus) == 1
        clock.now += 2
    assert vendor.asked == 2
    vendor.error = GpuUnavailableError("broken")
    for _ in range(2):
        with pytest.raises(GpuUnavailableError):
            paced.read()
    paced.close()
    assert vendor.closed == 1


def test_every_vendor_fits_the_interface_and_none_raises_anything_else() -> None:
    for source in sources():
        with contextlib.suppress(GpuUnavailableError):
            source.read()
        source.close()


def test_a_driver_without_cards_says_so() -> None:
    reading = GpuSurvey([Vendor("a", cards=0)], Clock()).read()
    assert reading == GpuReading(error="the a driver answers, but shows no GPU to this process")


def test_no_vendor_at_all_is_no_error() -> None:
    assert GpuSurvey([], Clock()).read() == GpuReading()


def test_a_vendor_that_fails_rests_twice_as_long_each_time() -> None:
    clock, vendor = Clock(), Vendor("a", GpuUnavailableError("broken"))
    survey = GpuSurvey([vendor], clock)
    rests: list[float] = []
    began = clock.now
    survey.read()
    while len(rests) < 9:
        clock.now += 1
        asked = vendor.asked
        assert survey.read().error == "broken"
        if vendor.asked > asked:
            rests.append(clock.now - began)
            began = clock.now
    assert rests == [5, 10, 20, 40, 80, 160, LONGEST_RETRY_S, LONGEST_RETRY_S, LONGEST_RETRY_S]
    assert vendor.closed == vendor.asked


def test_a_vendor_that_comes_back_starts_afresh() -> None:
    clock, vendor = Clock(), Vendor("a", GpuUnavailableError("broken"))
    survey = GpuSurvey([vendor], clock)
    survey.read()
    clock.now += FIRST_RETRY_S
    survey.read()
    clock.now += 2 * FIRST_RETRY_S
    vendor.error = None
    assert survey.read() == GpuReading((gpu("a"),))
    vendor.error = GpuUnavailableError("again")
    survey.read()
    clock.now += FIRST_RETRY_S
    asked = vendor.asked
    survey.read()
    assert vendor.asked == asked + 1


def test_an_absent_driver_rests_long_at_once() -> None:
    clock, vendor = Clock(), Vendor("a", GpuAbsentError("no driver"))
    survey = GpuSurvey([vendor], clock)
    survey.read()
    clock.now += LONGEST_RETRY_S - 1
    survey.read()
    assert vendor.asked == 1
    clock.now += 1
    survey.read()
    assert vendor.asked == 2
