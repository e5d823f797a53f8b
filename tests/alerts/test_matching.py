"""Which rules look at what, and which alerts nobody is told of."""

from __future__ import annotations

import pytest

from alerts.matching import Matcher, Place, SilenceSpec, is_in_scope, muted_by

BOX = Place(rule_id=3, node_id=7, environment="lab", labels={"rack": "a1"})


@pytest.mark.parametrize(
    ("matcher", "fits"),
    [
        (Matcher(), True),
        (Matcher(rule_id=3), True),
        (Matcher(rule_id=4), False),
        (Matcher(node_id=7, environment="lab"), True),
        (Matcher(node_id=7, environment="office"), False),
        (Matcher(label=("rack", "a1")), True),
        (Matcher(label=("rack", "")), True),
        (Matcher(label=("rack", "b2")), False),
        (Matcher(label=("room", "")), False),
    ],
)
def test_every_field_that_is_given_must_fit(matcher: Matcher, fits: bool) -> None:
    assert matcher.fits(BOX) is fits


def test_a_rule_looks_where_one_of_its_scopes_fits_or_everywhere() -> None:
    assert is_in_scope(BOX, [])
    assert is_in_scope(BOX, [Matcher(node_id=1), Matcher(environment="lab")])
    assert not is_in_scope(BOX, [Matcher(node_id=1)])


def muted(*, at_ms: int = 50, down: tuple[int, ...] = (), is_of_the_node_itself: bool = False) -> str:
    silence = SilenceSpec(5, "ada", Matcher(label=("rack", "a1")), 10, 100)
    return muted_by(
        BOX,
        is_of_the_node_itself=is_of_the_node_itself,
        silences=[silence],
        down_nodes=down,
        now_ms=at_ms,
    )


def test_a_silence_holds_from_its_beginning_to_its_end() -> None:
    assert muted(at_ms=9) == ""
    assert muted(at_ms=10) == "silence 5 of ada"
    assert muted(at_ms=100) == ""


def test_a_node_that_is_down_mutes_what_follows_from_it_and_not_itself() -> None:
    assert muted(at_ms=0, down=(7,)) == "its node is down"
    assert muted(at_ms=0, down=(8,)) == ""
    assert muted(at_ms=0, down=(7,), is_of_the_node_itself=True) == ""
