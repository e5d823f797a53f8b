"""What the scheduler thinks of one node, as its page tells it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from inference.scheduling import EngineSnapshot
from inference.standing import (
    BREAKER,
    LOCKED,
    NO_MODEL,
    NO_SLOTS,
    OFFLINE,
    EngineStanding,
    Obstacle,
    standings,
)

FAST = EngineSnapshot(1, 1, "fast", True, resident=("m",), slots=4, speeds={"m": 100.0}, seconds={"m": 1.0})
SLOW = replace(FAST, engine_id=2, node_id=2, node_name="slow", seconds={"m": 4.0})


def of_fast(*others: EngineSnapshot, **change: object) -> EngineStanding:
    snapshot = replace(FAST, **change)  # type: ignore[arg-type]  # fields by name
    return standings(1, [*others, snapshot], 0.0, "expected_finish")[1]


def test_the_best_engine_says_when_a_request_would_be_done_there() -> None:
    standing = of_fast(SLOW)
    verdict = standing.verdicts["m"]
    assert standing.obstacle is None
    assert (verdict.place, verdict.of, verdict.finish_s) == (1, 2, 1.0)
    assert (verdict.first, verdict.first_finish_s, verdict.obstacle) == ("fast", 1.0, None)


def test_a_slower_engine_says_who_is_first_and_by_how_much() -> None:
    verdict = standings(2, [FAST, SLOW], 0.0, "expected_finish")[2].verdicts["m"]
    assert (verdict.place, verdict.finish_s, verdict.first, verdict.first_finish_s) == (2, 4.0, "fast", 1.0)


@pytest.mark.parametrize(
    ("change", "obstacle"),
    [
        ({"is_online": False, "problem": "nothing listens"}, Obstacle(OFFLINE, "nothing listens")),
        ({"locked_by": "wang"}, Obstacle(LOCKED, "wang")),
        ({"is_breaker_open": True, "problem": "refused"}, Obstacle(BREAKER, "refused")),
        ({"slots": 0}, Obstacle(NO_SLOTS)),
    ],
)
def test_an_engine_out_of_rotation_says_why_and_where_requests_go_instead(
    change: dict[str, object], obstacle: Obstacle
) -> None:
    standing = of_fast(SLOW, **change)
    verdict = standing.verdicts["m"]
    assert standing.obstacle == verdict.obstacle == obstacle
    assert (verdict.place, verdict.finish_s, verdict.first) == (None, None, "slow")


def test_an_engine_without_a_model_is_out_of_rotation() -> None:
    standing = of_fast(resident=())
    assert (standing.obstacle, standing.verdicts) == (Obstacle(NO_MODEL), {})


def test_a_model_that_only_embeds_is_asked_for_vectors() -> None:
    standing = of_fast(resident=(), embedders={"e": True})
    assert standing.obstacle is None
    assert standing.verdicts["e"].place == 1


def test_when_nobody_can_take_it_there_is_no_first() -> None:
    verdict = of_fast(slots=0).verdicts["m"]
    assert (verdict.of, verdict.first, verdict.first_finish_s) == (0, "", None)


def test_only_the_engines_of_the_node_are_told() -> None:
    assert set(standings(2, [FAST, SLOW], 0.0, "least_load")) == {2}
    assert standings(9, [FAST, SLOW], 0.0, "expected_finish") == {}
