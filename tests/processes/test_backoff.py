"""When a process that ended is started again."""

from __future__ import annotations

from itertools import pairwise

from dpl_site.processes.backoff import CONFIG_ERROR, History, decide


def delays(lives_s: list[float], code: int = 1) -> list[float | None]:
    """The delay after each of these lives, one after another."""
    history, result = History(), []
    for number, lived_s in enumerate(lives_s):
        decision = decide(history, code=code, lived_s=lived_s, age_s=float(number))
        history = decision.history
        result.append(decision.restart_in_s)
    return result


def test_it_doubles_the_delay_up_to_ten_seconds() -> None:
    assert delays([0.1] * 8) == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0]


def test_it_begins_anew_after_half_a_minute_of_life() -> None:
    assert delays([0.1, 0.1, 29.9, 30, 0.1]) == [0.2, 0.4, 0.8, 0.2, 0.4]


def test_it_gives_up_on_a_configuration_error_at_the_fifth_time() -> None:
    result = delays([0.1] * 5, CONFIG_ERROR)
    assert result[-1] is None
    assert all(first and second and first < second for first, second in pairwise(result[:-1]))


def test_it_never_gives_up_on_any_other_code() -> None:
    for code in (0, 1, 2, 77, -9, -15):
        assert None not in delays([0.1] * 50, code)


def test_it_never_gives_up_on_what_once_lived_or_is_old() -> None:
    assert None not in delays([2.1] * 20, CONFIG_ERROR)
    assert decide(History(0.2, 4), code=CONFIG_ERROR, lived_s=0.1, age_s=61).restart_in_s == 0.4
    assert decide(History(0.2, 4), code=CONFIG_ERROR, lived_s=0.1, age_s=59).restart_in_s is None
