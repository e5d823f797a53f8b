"""How much a key may do: what one process admits of what it was granted, and what several admit together."""

from __future__ import annotations

from collections import Counter

import pytest

from accounts.limits import (
    DAY,
    MINUTE,
    Claim,
    Grant,
    KeyLimits,
    KeyMeter,
    MustAsk,
    OverLimit,
    WindowOf,
    granted_of,
)

NOON = 1_774_008_000.0
"""The beginning of a minute, 12 h before the end of a day."""
THIS_MINUTE, THIS_DAY = WindowOf(1, MINUTE, int(NOON)), WindowOf(1, DAY, int(NOON) - 43_200)
FIVE = KeyLimits(requests_per_minute=5)


class Table:
    """What all processes told, as the rows would have it."""

    def __init__(self, processes: int = 1) -> None:
        self.processes = processes
        self.requests: Counter[WindowOf] = Counter()
        self.tokens: Counter[WindowOf] = Counter()
        self.asked = 0

    def exchange(self, meter: KeyMeter, now: float, keeps: int | None = None) -> None:
        claims = meter.claims(now, keeps=keeps)
        self.asked += bool(claims)
        meter.learn(claims, {one.window: self.grant(one) for one in claims}, self.processes, now)

    def grant(self, claim: Claim) -> Grant:
        self.requests[claim.window] += claim.change
        self.tokens[claim.window] += claim.tokens
        granted = granted_of(claim.limit or 0, self.requests[claim.window], claim.wants, self.processes)
        self.requests[claim.window] += granted
        return Grant(self.requests[claim.window], self.tokens[claim.window], granted)


def ask(table: Table, meter: KeyMeter, limits: KeyLimits, now: float) -> dict[str, str]:
    """One request, asking as often as must be."""
    while True:
        try:
            return meter.admit(limits, now)
        except MustAsk:
            table.exchange(meter, now)


def admitted(table: Table, meter: KeyMeter, limits: KeyLimits, now: float, tries: int = 100) -> int:
    """How many of so many requests at one moment are let in."""
    count = 0
    for _ in range(tries):
        try:
            ask(table, meter, limits, now)
            count += 1
        except OverLimit:
            break
    return count


def refused(table: Table, meter: KeyMeter, limits: KeyLimits, now: float) -> OverLimit:
    with pytest.raises(OverLimit) as over:
        ask(table, meter, limits, now)
    return over.value


def test_a_key_without_limits_has_none() -> None:
    assert not KeyLimits()
    assert KeyLimits(tokens_per_day=1)


def test_a_limit_on_requests_is_never_passed() -> None:
    table, meter = Table(), KeyMeter(1, FIVE)
    assert admitted(table, meter, FIVE, NOON) == 5
    over = refused(table, meter, FIVE, NOON + 20)
    assert (over.status, over.code, over.retry_after_s) == (429, "rate_limited", 40)
    assert over.message == "This key may use 5 requests a minute. Try again in 40 s."


def test_the_next_window_begins_anew() -> None:
    table, meter = Table(), KeyMeter(1, FIVE)
    assert admitted(table, meter, FIVE, NOON + 59) == 5
    assert admitted(table, meter, FIVE, NOON + 60) == 5


def test_a_day_ends_at_midnight_utc() -> None:
    table, limits = Table(), KeyLimits(requests_per_day=2)
    meter = KeyMeter(1, limits)
    assert admitted(table, meter, limits, NOON) == 2
    assert refused(table, meter, limits, NOON).retry_after_s == 12 * 3600
    assert admitted(table, meter, limits, NOON + 12 * 3600) == 2


def test_the_narrowest_of_several_limits_holds() -> None:
    limits = KeyLimits(requests_per_minute=3, requests_per_day=4)
    table, meter = Table(), KeyMeter(1, limits)
    assert [admitted(table, meter, limits, NOON + late) for late in (0, 60, 120)] == [3, 1, 0]
    assert "4 requests a day" in refused(table, meter, limits, NOON + 120).message


def test_most_requests_ask_nobody() -> None:
    limits = KeyLimits(requests_per_minute=1000)
    table, meter = Table(), KeyMeter(1, limits)
    assert admitted(table, meter, limits, NOON, tries=1000) == 1000
    assert table.asked < 15


def test_who_is_refused_again_and_again_asks_once_in_a_while() -> None:
    table, meter = Table(), KeyMeter(1, FIVE)
    admitted(table, meter, FIVE, NOON)
    before = table.asked
    for _ in range(50):
        refused(table, meter, FIVE, NOON + 0.1)
    assert table.asked == before
    refused(table, meter, FIVE, NOON + 1)
    assert table.asked == before + 1


def test_tokens_count_when_a_request_is_over() -> None:
    limits = KeyLimits(tokens_per_minute=100)
    table, meter = Table(), KeyMeter(1, limits)
    ask(table, meter, limits, NOON)
    meter.spend(99, NOON)
    ask(table, meter, limits, NOON)
    meter.spend(50, NOON)
    assert "100 tokens a minute" in refused(table, meter, limits, NOON).message
    table.exchange(meter, NOON)
    assert table.tokens[THIS_MINUTE] == 149
    assert refused(table, KeyMeter(1, limits), limits, NOON).retry_after_s == 60


def test_what_is_not_used_goes_back_for_the_others() -> None:
    limits = KeyLimits(requests_per_minute=100)
    table, meter = Table(), KeyMeter(1, limits)
    ask(table, meter, limits, NOON)
    assert table.requests[THIS_MINUTE] == 50
    table.exchange(meter, NOON, keeps=2)
    assert table.requests[THIS_MINUTE] == 3  # one used, two kept
    table.exchange(meter, NOON, keeps=2)
    assert table.requests[THIS_MINUTE] == 1
    table.exchange(meter, NOON, keeps=2)
    asked = table.asked
    table.exchange(meter, NOON, keeps=2)
    assert table.asked == asked


def test_while_nobody_can_be_asked_a_process_grants_itself_what_it_believes_is_left() -> None:
    table, meter = Table(), KeyMeter(1, FIVE)
    count = 0
    for _ in range(20):
        try:
            meter.admit(FIVE, NOON)
            count += 1
        except MustAsk:
            meter.failed(meter.claims(NOON), NOON)
        except OverLimit:
            break
    assert count == 5
    table.exchange(meter, NOON)
    assert table.requests[THIS_MINUTE] == 5


def test_tokens_that_could_not_be_told_are_told_again() -> None:
    limits = KeyLimits(tokens_per_day=100)
    table, meter = Table(), KeyMeter(1, limits)
    ask(table, meter, limits, NOON)
    meter.spend(70, NOON)
    meter.failed(meter.claims(NOON), NOON)
    table.exchange(meter, NOON)
    assert table.tokens[THIS_DAY] == 70


def test_the_headers_tell_what_is_left_of_the_shortest_window() -> None:
    limits = KeyLimits(requests_per_minute=5, requests_per_day=9, tokens_per_day=100)
    told = ask(Table(), KeyMeter(1, limits), limits, NOON + 48.5)
    assert told == {
        "x-ratelimit-limit-requests": "5",
        "x-ratelimit-remaining-requests": "4",
        "x-ratelimit-reset-requests": "12s",
        "x-ratelimit-limit-tokens": "100",
        "x-ratelimit-remaining-tokens": "100",
        "x-ratelimit-reset-tokens": "43152s",
    }


@pytest.mark.parametrize("processes", [2, 4, 8])
def test_many_processes_together_admit_what_the_limit_says_and_no_more(processes: int) -> None:
    limits = KeyLimits(requests_per_minute=100)
    table = Table(processes)
    meters = [KeyMeter(1, limits) for _ in range(processes)]
    count = 0
    for turn in range(400):
        for meter in meters:
            try:
                ask(table, meter, limits, NOON + turn / 20)
                count += 1
            except OverLimit:
                pass
            if turn % 10 == 9:
                table.exchange(meter, NOON + turn / 20, keeps=2)
        assert count <= 100
    assert count == 100
