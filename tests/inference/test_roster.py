"""What a roster keeps between requests never makes a decision differ from one made anew."""

from __future__ import annotations

from dataclasses import replace

import pytest

from inference import roster
from inference.roster import Roster
from inference.scheduling import EngineSnapshot, Request, choose, sift

FLEET = {
    1: EngineSnapshot(1, 1, "fast", is_online=True, resident=("m",), slots=4, in_flight=1),
    2: EngineSnapshot(2, 2, "slow", is_online=True, resident=("m",), on_disk=("n",), slots=4),
    3: EngineSnapshot(3, 3, "dead", is_online=False, problem="no answer", resident=("m",)),
}
ASKED = [Request("m"), Request("n"), Request("nope"), Request(), Request("m", nodes=frozenset({2}))]


@pytest.mark.parametrize("request_", [*ASKED, Request("m", avoid=frozenset({1}))])
@pytest.mark.parametrize("busy", [{}, {1: 2}, {1: 2, 2: 4}])
def test_what_may_take_a_request_is_the_same_as_sifted_anew(request_: Request, busy: dict[int, int]) -> None:
    known = Roster(FLEET)
    for _ in range(2):
        found = known.sifted(request_, busy)
        anew = sift(request_, known.seen_with(busy))
        assert (list(found.accepted), dict(found.rejected)) == (list(anew.accepted), dict(anew.rejected))


def test_load_is_counted_in_each_time() -> None:
    known = Roster(FLEET)
    assert [one.in_flight for one, _ in known.sifted(ASKED[0], {}).accepted] == [1, 0]
    assert [one.in_flight for one, _ in known.sifted(ASKED[0], {1: 2, 2: 4}).accepted] == [3, 4]


def test_clients_cannot_fill_the_memory_with_names_of_models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roster, "MOST_SIFTED", 3)
    known = Roster(FLEET)
    for number in range(10):
        assert not known.sifted(Request(f"made-up-{number}"), {}).accepted
    assert len(known._sifted) == 3


def test_an_engine_that_rests_is_left_out_by_the_decision_itself() -> None:
    resting = [replace(one, is_breaker_open=True) if one.engine_id == 1 else one for one in FLEET.values()]
    assert [one.engine_id for one in choose(Request("m"), resting, 0.0).candidates] == [2]
