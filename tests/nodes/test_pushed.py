"""Readings that agents push: stored once and in bounds, placed in time, taken by a tick, missed when they cease."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.conf import settings

from dpl_site.lib.clock import iso, utc_now
from dpl_site.lib.db import now_ms
from nodes import pushed
from nodes.mirror import OurLock
from nodes.models import Node, PushedReading
from nodes.probe import AgentReading
from nodes.pushed import PushTarget, TooMuch, past_readings, push_targets, receive, see_push, take
from nodes.states import LockMirror
from tests.nodes.told import STATUS, lock_told

NOW = datetime(2026, 11, 21, 10, tzinfo=UTC)


def told(age_s: float = 0.0, sent: datetime = NOW, **changes: Any) -> dict[str, Any]:
    return STATUS | {"sampled_at": iso(sent - timedelta(seconds=age_s))} | changes


def ages_s(node: Node) -> list[float]:
    """How long before their arrival the stored readings were sampled, the oldest first."""
    rows = PushedReading.objects.filter(node=node).order_by("at_ms")
    return [round((row.received_ms - row.at_ms) / 1000, 1) for row in rows]


def push(node: Node, *ages: float) -> pushed.Received:
    sent = utc_now()
    return receive(node_id=node.id, readings=[told(age, sent) for age in ages], sent_at=iso(sent))


def target_of(node: Node) -> PushTarget:
    return push_targets(addresses={node.id: ""}, locks={}, now=now_ms())[node.id]


@pytest.mark.django_db
class TestReceive:
    """What web writes."""

    def test_readings_are_placed_by_their_age_when_they_were_sent(self, fast: Node) -> None:
        readings = [told(60), told(2), told(0)]
        assert receive(node_id=fast.id, readings=readings, sent_at=iso(NOW)).stored == 3
        assert ages_s(fast) == [60.0, 2.0, 0.0]

    def test_a_wrong_clock_is_measured_and_does_no_harm(self, fast: Node) -> None:
        wrong = utc_now() + timedelta(hours=7)
        receive(node_id=fast.id, readings=[told(4, wrong)], sent_at=iso(wrong))
        assert ages_s(fast) == [4.0]
        skew_s = PushedReading.objects.get().clock_skew_s
        assert skew_s is not None
        assert abs(skew_s - 7 * 3600) < 60

    def test_without_a_sending_time_the_newest_reading_is_of_now(self, fast: Node) -> None:
        assert receive(node_id=fast.id, readings=[told(8), told(2)], sent_at=None).stored == 2
        assert ages_s(fast) == [6.0, 0.0]
        assert PushedReading.objects.first().clock_skew_s is None  # type: ignore[union-attr]  # it is there

    @pytest.mark.parametrize("age", [-3600, 3600])
    def test_a_reading_that_lies_about_its_time_is_left_out_with_the_reason(
        self, fast: Node, age: float
    ) -> None:
        received = receive(node_id=fast.id, readings=[told(age), told()], sent_at=iso(NOW))
        assert received.stored == 1
        assert received.refused[0].startswith("reading 1: it says it was sampled")

    @pytest.mark.parametrize(
        ("nonsense", "reason"),
        [
            (None, "no object"),
            (["x"], "no object"),
            ({}, "without agent_version"),
            ({"agent_version": 1}, "without agent_version"),
            (told(extra="x" * 300_000), "larger than 256 KiB"),
        ],
    )
    def test_nonsense_is_left_out_and_the_rest_is_kept(self, fast: Node, nonsense: Any, reason: str) -> None:
        received = receive(node_id=fast.id, readings=[nonsense, told()], sent_at=iso(NOW))
        assert received.stored == 1
        assert reason in received.refused[0]

    def test_wrong_values_read_as_unknown(self, fast: Node) -> None:
        odd = told(cpu={"percent": float("nan"), "load1": -1}, gpus="many", hostname="a\x00b", new=[1])
        receive(node_id=fast.id, readings=[odd], sent_at=iso(NOW))
        reading = target_of(fast).reading
        assert reading is not None
        assert (reading.status["cpu"]["percent"], reading.status["gpus"]) == (None, [])
        assert reading.status["hostname"] == "a b"

    def test_a_push_that_comes_again_changes_nothing(self, fast: Node) -> None:
        readings = [told(4), told(2)]
        for _ in range(2):
            receive(node_id=fast.id, readings=readings, sent_at=iso(NOW))
        assert PushedReading.objects.count() == 2
        take(row_ids=[row.id for row in PushedReading.objects.all()])
        receive(node_id=fast.id, readings=readings, sent_at=iso(NOW))
        assert not PushedReading.objects.filter(is_taken=False).exists()

    def test_the_agent_keeps_what_the_controller_has_not_made_room_for(
        self, fast: Node, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(settings, "DPL_PUSHED_MOST", 3)
        push(fast, 4, 2)
        with pytest.raises(TooMuch):
            push(fast, 5, 3)
        assert PushedReading.objects.count() == 2

    def test_the_rows_of_a_node_are_bounded_and_others_stay(
        self, fast: Node, slow: Node, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(settings, "DPL_PUSHED_MOST", 3)
        push(slow, 1)
        for age in range(6):
            push(fast, 60 - age)
            take(row_ids=PushedReading.objects.filter(node=fast).values_list("id", flat=True))
        assert ages_s(fast) == [57, 56, 55]
        assert ages_s(slow) == [1]


@pytest.mark.django_db
class TestTargets:
    """What a tick finds."""

    def test_the_newest_reading_that_no_tick_has_taken(self, fast: Node) -> None:
        push(fast, 4, 2)
        found = target_of(fast)
        assert found.reading is not None
        assert found.silent_s is not None
        assert found.silent_s < 60
        assert PushedReading.objects.get(id=found.row_id).at_ms == max(
            PushedReading.objects.values_list("at_ms", flat=True)
        )
        take(row_ids=[found.row_id])
        assert (target_of(fast).row_id, target_of(fast).reading) == (0, None)

    def test_what_comes_late_is_not_the_newest(self, fast: Node) -> None:
        push(fast, 0)
        take(row_ids=[target_of(fast).row_id])
        push(fast, 120)
        assert target_of(fast).reading is None

    def test_a_node_that_is_asked_and_never_pushed_is_none(self, fast: Node, slow: Node) -> None:
        addresses = {fast.id: "http://10.0.0.1:8001", slow.id: ""}
        found = push_targets(addresses=addresses, locks={}, now=now_ms())
        assert [*found] == [slow.id]
        assert found[slow.id].silent_s is None

    def test_past_readings_are_given_once_and_in_order(self, fast: Node, slow: Node) -> None:
        push(fast, 60, 40, 0)
        push(slow, 0)
        assert past_readings() == {}, "nothing is past before a tick saw something newer"
        take(row_ids=[target_of(fast).row_id, target_of(slow).row_id])
        (samples,) = past_readings().values()
        assert [round((now_ms() - at) / 1000, -1) for at, _ in samples] == [60, 40]
        assert samples[0][1]["cpu"]["percent"] == 12.5
        assert past_readings() == {}
        assert not PushedReading.objects.exclude(reading="").exists()

    def test_past_readings_are_bounded_and_the_rest_comes_next(self, fast: Node) -> None:
        push(fast, 60, 40, 20, 0)
        take(row_ids=[target_of(fast).row_id])
        assert [len(samples) for samples in past_readings(most=2).values()] == [2]
        assert [len(samples) for samples in past_readings(most=2).values()] == [1]


class TestSeePush:
    """What a tick makes of it."""

    def see(self, target: PushTarget, interval_s: float = 2.0) -> Any:
        return see_push(target, at=NOW, installation="us", interval_s=interval_s)

    def with_lock(self, lock: Any, ours: OurLock | None) -> PushTarget:
        status = pushed._status(told(lock=lock))
        return PushTarget("", ours, 0.1, 7, NOW, AgentReading(status, 0.2))

    def test_a_reading_is_the_agents_answer(self) -> None:
        seen = self.see(self.with_lock(None, None))
        assert (seen.at, seen.error, seen.lock_id) == (NOW, "", "")
        assert seen.reading.clock_skew_s == 0.2

    def test_nothing_new_is_no_news_until_it_is_silent_for_long(self) -> None:
        assert self.see(PushTarget("", None, 4.9)) is None
        assert "has not pushed for 5 s" in self.see(PushTarget("", None, 5.1)).error
        assert self.see(PushTarget("", None, 20), interval_s=10) is None
        assert "has not pushed yet" in self.see(PushTarget("", None)).error

    @pytest.mark.parametrize(
        ("silent_s", "said"),
        [(6, "5 s"), (30, "10 s"), (100, "a minute"), (700, "10 minutes"), (9000, "an hour"), (1e6, "a day")],
    )
    def test_a_silence_is_told_in_steps(self, silent_s: float, said: str) -> None:
        assert f"it has not pushed for {said};" in self.see(PushTarget("", None, silent_s)).error

    OURS = OurLock("l1", "otto", "training", 60.0)

    @pytest.mark.parametrize(
        ("standing", "mirror", "is_foreign"),
        [
            (None, LockMirror.PENDING, False),
            (lock_told(installation="us"), LockMirror.HELD, False),
            (lock_told(id="old", installation="us"), LockMirror.PENDING, False),
            (lock_told(installation="them"), LockMirror.UNMIRRORED, True),
            (lock_told(), LockMirror.UNMIRRORED, True),
        ],
    )
    def test_the_next_reading_shows_where_our_lock_stands(
        self, standing: Any, mirror: LockMirror, is_foreign: bool
    ) -> None:
        seen = self.see(self.with_lock(standing, self.OURS))
        assert (seen.lock_id, seen.mirror, seen.foreign is not None) == ("l1", mirror, is_foreign)

    def test_a_silent_agent_may_have_lost_our_lock(self) -> None:
        seen = self.see(PushTarget("", self.OURS, 60))
        assert (seen.lock_id, seen.mirror) == ("l1", LockMirror.PENDING)


def test_silences_follow_the_interval() -> None:
    found: Iterable[float] = map(pushed.silent_after_s, (0.2, 2.0, 10.0))
    assert [*found] == [5.0, 5.0, 25.0]
