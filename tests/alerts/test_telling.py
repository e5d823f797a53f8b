"""What a channel is told of an alert, and when."""

from __future__ import annotations

from dataclasses import replace

from alerts.states import AlertState, DeliveryState, NoticeKind, Severity
from alerts.telling import LONGEST_PAUSE_S, Raised, ToldBefore, Verdict, Wants, must_go, pause_s, verdict_on

QUEUED, SENT, EXPIRED = DeliveryState.QUEUED, DeliveryState.SENT, DeliveryState.EXPIRED
FIRES = Raised(1, AlertState.FIRING, Severity.WARNING, fired_ms=1000, resolved_ms=None, repeat_s=60)
ENDED = replace(FIRES, state=AlertState.RESOLVED, resolved_ms=9000)
NEVER = Verdict(is_settled=True)


def told(kind: NoticeKind = NoticeKind.FIRING, state: DeliveryState = SENT, at_ms: int = 2000) -> ToldBefore:
    return ToldBefore(kind, at_ms, state)


def of(alert: Raised, *before: ToldBefore, now_ms: int = 10_000, wants: Wants | None = None) -> Verdict:
    return verdict_on(alert, before, wants or Wants(), now_ms)


def test_what_fires_is_told_once() -> None:
    assert of(FIRES) == Verdict(NoticeKind.FIRING, 1000)
    assert of(FIRES, told()).kind is None


def test_it_is_told_again_after_its_time_unless_somebody_saw_it() -> None:
    assert of(FIRES, told(), now_ms=61_999).kind is None
    assert of(FIRES, told(), now_ms=62_000).kind is NoticeKind.REPEAT
    assert of(FIRES, told(), told(NoticeKind.REPEAT, at_ms=62_000), now_ms=63_000).kind is None
    assert of(replace(FIRES, is_acknowledged=True), told(), now_ms=90_000).kind is None
    assert of(replace(FIRES, state=AlertState.RECOVERING), told(), now_ms=90_000).kind is None
    assert of(replace(FIRES, repeat_s=0), told(), now_ms=900_000_000).kind is None


def test_its_end_is_told_to_those_who_know_of_its_beginning() -> None:
    assert of(ENDED, told()) == Verdict(NoticeKind.RESOLVED, 9000)
    assert of(ENDED) == NEVER, "it ended before anybody was told"
    assert of(ENDED, told(state=EXPIRED)) == NEVER, "the message never got through"
    assert of(ENDED, told(), told(NoticeKind.RESOLVED)) == NEVER


def test_its_end_waits_for_the_message_of_its_beginning() -> None:
    assert of(ENDED, told(state=QUEUED)) == Verdict()


def test_a_muted_alert_is_not_told_and_told_when_it_is_muted_no_more() -> None:
    assert of(replace(FIRES, is_muted=True)) == Verdict()
    assert of(replace(ENDED, is_muted=True), told()) == NEVER


def test_a_message_that_was_given_up_counts_as_none() -> None:
    assert of(FIRES, told(state=EXPIRED)).kind is NoticeKind.FIRING


def test_a_channel_is_told_what_it_wants() -> None:
    assert of(FIRES, wants=Wants(Severity.CRITICAL)).kind is None
    assert of(FIRES, wants=Wants(Severity.WARNING)).kind is NoticeKind.FIRING
    assert of(ENDED, told(), wants=Wants(tells_resolved=False)) == NEVER


def goes(due: list[int], *, is_busy: bool = False, lately: int = 0, now_ms: int = 31_000) -> bool:
    return must_go(due, wait_s=30, is_busy=is_busy, lately=lately, most=5, now_ms=now_ms)


def test_the_first_thing_that_is_due_waits_a_little_for_others() -> None:
    assert not goes([])
    assert not goes([1000, 2000], now_ms=30_999)
    assert goes([2000, 1000])


def test_nothing_goes_out_past_a_message_that_is_not_through_or_beyond_the_hours_bound() -> None:
    assert not goes([1000], is_busy=True)
    assert not goes([1000], lately=5)


def test_tries_get_rarer_and_never_stop() -> None:
    pauses = [pause_s(attempts, 0.5) for attempts in (1, 2, 3, 10, 1000)]
    assert pauses == [10, 20, 40, LONGEST_PAUSE_S, LONGEST_PAUSE_S]
    assert pause_s(1, 0) < 10 < pause_s(1, 1)
