"""Which engine answered a conversation last."""

from __future__ import annotations

from inference.homes import Homes


def test_the_last_engine_counts() -> None:
    homes = Homes()
    assert homes.of(7) is None
    homes.note(7, 1)
    homes.note(7, 2)
    assert homes.of(7) == 2


def test_what_is_no_conversation_has_no_home() -> None:
    homes = Homes()
    homes.note(0, 1)
    assert homes.of(0) is None


def test_those_not_heard_of_for_longest_are_forgotten() -> None:
    homes = Homes(most=2)
    for prefix in (1, 2, 1, 3):
        homes.note(prefix, 9)
    assert [homes.of(prefix) for prefix in (1, 2, 3)] == [9, None, 9]
