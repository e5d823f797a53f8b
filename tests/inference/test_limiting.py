"""Keys with limits in a web process: admitted from memory, exchanged with the others, whatever the database does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from django.db import OperationalError

from accounts.authentication import Principal
from accounts.limits import Claim, Grant, KeyLimits, OverLimit, WindowOf, granted_of
from dpl_site.lib.db import Threads
from inference import limiting
from inference.limiting import KeyLimiter

NOON = 1_774_008_000.0


def otto(**limits: int) -> Principal:
    return Principal(7, "otto", "operator", frozenset({"chat"}), 3, KeyLimits(**limits) or None)


class Table:
    """What all processes told, in place of the database."""

    def __init__(self) -> None:
        self.told: dict[WindowOf, Grant] = {}
        self.asked = 0
        self.processes = 1
        self.is_away = False

    def exchange(self, claims: list[Claim]) -> tuple[dict[WindowOf, Grant], int]:
        self.asked += 1
        if self.is_away:
            raise OperationalError("gone")
        return {claim.window: self._grant(claim) for claim in claims}, self.processes

    def _grant(self, claim: Claim) -> Grant:
        before = self.told.get(claim.window, Grant())
        requests, tokens = before.requests + claim.change, before.tokens + claim.tokens
        granted = granted_of(claim.limit or 0, requests, claim.wants, self.processes)
        self.told[claim.window] = Grant(requests + granted, tokens)
        return Grant(requests + granted, tokens, granted)

    @property
    def requests(self) -> int:
        """Granted for the minute."""
        return sum(grant.requests for window, grant in self.told.items() if window.seconds == 60)


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> Table:
    made = Table()
    monkeypatch.setattr(limiting, "_exchange", made.exchange)
    return made


@pytest.fixture
async def threads() -> AsyncIterator[Threads]:
    made = Threads(1, "limits")
    yield made
    await asyncio.to_thread(made.close)


async def admitted(limiter: KeyLimiter, principal: Principal, tries: int) -> int:
    """How many of so many requests are let in."""
    count = 0
    for _ in range(tries):
        try:
            await limiter.admit(principal)
            count += 1
        except OverLimit:
            continue
    return count


async def test_keys_without_limits_ask_nobody(threads: Threads, table: Table) -> None:
    limiter = KeyLimiter(threads)
    assert await limiter.admit(otto()) == {}
    limiter.spend(3, 100)
    limiter.spend(None, 100)
    await limiter.close()
    assert table.asked == 0


async def test_what_was_granted_is_admitted_from_memory(threads: Threads, table: Table) -> None:
    limiter = KeyLimiter(threads, lambda: NOON)
    assert await admitted(limiter, otto(requests_per_minute=50), 70) == 50
    assert table.asked < 12
    await limiter.close()
    assert table.requests == 50


async def test_requests_that_come_at_once_all_wait_for_the_first_answer(
    threads: Threads, table: Table
) -> None:
    before, limiter = KeyLimiter(threads, lambda: NOON), KeyLimiter(threads, lambda: NOON)
    await admitted(before, otto(requests_per_minute=5), 4)
    await before.close()
    results = await asyncio.gather(
        *(limiter.admit(otto(requests_per_minute=5)) for _ in range(20)), return_exceptions=True
    )
    assert len([one for one in results if isinstance(one, dict)]) == 1


async def test_two_processes_share_one_limit(threads: Threads, table: Table) -> None:
    table.processes = 2
    here, there = KeyLimiter(threads, lambda: NOON), KeyLimiter(threads, lambda: NOON)
    counts = await asyncio.gather(
        admitted(here, otto(requests_per_minute=40), 100), admitted(there, otto(requests_per_minute=40), 100)
    )
    await here.close()
    await there.close()
    assert sum(counts) == table.requests == 40
    assert await admitted(KeyLimiter(threads, lambda: NOON), otto(requests_per_minute=40), 9) == 0


async def test_tokens_are_told_when_a_request_is_over(threads: Threads, table: Table) -> None:
    limiter = KeyLimiter(threads, lambda: NOON)
    told = await limiter.admit(otto(tokens_per_minute=100))
    assert told["x-ratelimit-remaining-tokens"] == "100"
    limiter.spend(3, 120)
    await limiter.close()
    assert await admitted(KeyLimiter(threads, lambda: NOON), otto(tokens_per_minute=100), 1) == 0


async def test_while_the_database_is_away_a_process_goes_by_what_it_knows(
    threads: Threads, table: Table
) -> None:
    table.is_away = True
    limiter = KeyLimiter(threads, lambda: NOON)
    assert await admitted(limiter, otto(requests_per_minute=5), 9) == 5
    table.is_away = False
    await limiter.close()
    assert table.requests == 5


async def test_keys_are_forgotten_when_they_are_no_longer_used(
    threads: Threads, table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limiting, "EXCHANGE_S", 0.0)
    now = NOON
    limiter = KeyLimiter(threads, lambda: now)
    task = asyncio.create_task(limiter.run())
    await limiter.admit(otto(requests_per_minute=1))
    now += limiting.FORGET_S + 1
    async with asyncio.timeout(10):
        while limiter._meters:  # noqa: ASYNC110 (what is waited for has no event)
            await asyncio.sleep(0.001)
    assert table.requests == 1
    asked = table.asked
    await asyncio.sleep(0.01)
    assert table.asked == asked
    task.cancel()


async def test_no_more_keys_are_remembered_than_may_be(
    threads: Threads, table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limiting, "MOST_METERS", 3)
    limiter = KeyLimiter(threads, lambda: NOON)
    for key_id in range(1, 9):
        principal = Principal(7, "otto", "operator", frozenset(), key_id, KeyLimits(requests_per_day=1))
        await limiter.admit(principal)
    assert len(limiter._meters) == 3
