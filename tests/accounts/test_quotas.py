"""What keys were granted and used, as all processes tell it to each other."""

from __future__ import annotations

import pytest

from accounts.limits import DAY, MINUTE, Claim, Grant, WindowOf
from accounts.models import KeyUse
from accounts.quotas import exchange, quotas_prune
from dpl_site.lib.clock import utc_now

pytestmark = pytest.mark.django_db

NOW = WindowOf(1, MINUTE, 1_200)
TODAY = WindowOf(1, DAY, 0)


def ask(*claims: Claim, processes: int = 1) -> dict[WindowOf, Grant]:
    return exchange(claims=claims, processes=processes)


def test_what_is_left_is_granted_and_no_more() -> None:
    assert ask(Claim(NOW, 10, wants=1), processes=2)[NOW] == Grant(2, 0, 2)
    assert ask(Claim(NOW, 10, wants=7))[NOW] == Grant(9, 0, 7)
    assert ask(Claim(NOW, 10, wants=7))[NOW] == Grant(10, 0, 1)
    assert ask(Claim(NOW, 10, wants=7))[NOW] == Grant(10, 0, 0)
    assert ask(Claim(NOW, 5, wants=1))[NOW] == Grant(10, 0, 0)


def test_what_goes_back_is_granted_to_others() -> None:
    ask(Claim(NOW, 4, wants=4))
    assert ask(Claim(NOW, 4, change=-3))[NOW] == Grant(1, 0, 0)
    assert ask(Claim(NOW, 4, wants=9))[NOW] == Grant(4, 0, 3)


def test_tokens_of_all_processes_are_summed_up() -> None:
    ask(Claim(NOW, None, tokens=30), Claim(TODAY, None, tokens=30))
    assert ask(Claim(NOW, None, tokens=5)) == {NOW: Grant(0, 35, 0)}
    assert ask(Claim(NOW, None), Claim(TODAY, None)) == {NOW: Grant(0, 35), TODAY: Grant(0, 30)}


def test_to_look_writes_nothing() -> None:
    assert ask(Claim(NOW, 10)) == {NOW: Grant()}
    assert not KeyUse.objects.exists()


def test_keys_and_windows_are_told_apart() -> None:
    other, later = WindowOf(2, MINUTE, 1_200), WindowOf(1, MINUTE, 1_260)
    ask(Claim(NOW, 9, change=1), Claim(other, 9, change=5), Claim(later, 9, change=7))
    found = ask(Claim(NOW, 9), Claim(other, 9), Claim(later, 9))
    assert {window: grant.requests for window, grant in found.items()} == {NOW: 1, other: 5, later: 7}


def test_windows_that_ended_long_ago_go() -> None:
    start = int(utc_now().timestamp() // DAY) * DAY
    ask(*(Claim(WindowOf(1, DAY, start - days * DAY), None, tokens=1) for days in (0, 1, 4)))
    assert (quotas_prune(), quotas_prune(), KeyUse.objects.count()) == (1, 0, 2)
