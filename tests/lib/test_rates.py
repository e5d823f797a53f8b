"""How often somebody may come: counted for each, forgotten after the window, bounded in memory."""

from __future__ import annotations

import pytest

from dpl_site.lib import rates
from dpl_site.lib.rates import Rate


def test_each_caller_has_a_count_of_his_own_for_each_window() -> None:
    now = [0.0]
    rate = Rate(60.0, lambda: now[0])
    assert [rate.visit("a", 2) for _ in range(3)] == [0, 0, 60]
    assert rate.visit("b", 2) == 0
    now[0] = 45.0
    assert rate.visit("a", 2) == 15
    now[0] = 60.0
    assert rate.visit("a", 2) == 0


def test_it_remembers_a_bounded_number_of_callers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "MOST_CALLERS", 2)
    rate = Rate()
    for caller in "abc":
        rate.visit(caller, 1)
    assert len(rate._counts) == 2
    assert rate.visit("c", 1) > 0
    rate.clear()
    assert rate.visit("c", 1) == 0
