"""The scheduling policy: which engine, and why."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from inference.model_names import same_model
from inference.scheduling import EngineSnapshot, Request, choose

FAST = EngineSnapshot(
    1, 1, "fast", True, resident=("m:latest",), slots=4, speeds={"m:latest": 100.0}, seconds={"m:latest": 1.0}
)
SLOW = replace(
    FAST, engine_id=2, node_id=2, node_name="slow", speeds={"m:latest": 25.0}, seconds={"m:latest": 4.0}
)
DEAD = replace(FAST, engine_id=3, node_id=3, node_name="dead", is_online=False, problem="nothing listens")
M = Request(model="m")


def order(request: Request, *snapshots: EngineSnapshot, policy: str = "expected_finish") -> list[int]:
    return [one.engine_id for one in choose(request, snapshots, 0.0, policy).candidates]


def test_it_prefers_the_engine_that_would_be_done_first() -> None:
    assert order(M, SLOW, FAST) == [1, 2]


def test_a_busy_fast_engine_loses_to_an_idle_slow_one_only_when_it_would_be_later() -> None:
    assert order(M, SLOW, replace(FAST, in_flight=4)) == [1, 2]
    assert order(M, SLOW, replace(FAST, in_flight=16)) == [2, 1]


def test_loading_a_model_counts_as_time() -> None:
    on_disk = replace(FAST, resident=(), on_disk=("m:latest",))
    assert order(M, SLOW, on_disk) == [2, 1]
    assert "model must be loaded" in choose(M, [on_disk], 0.0).candidates[0].why()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"is_online": False, "problem": "nothing listens"}, "offline: nothing listens"),
        ({"locked_by": "wang"}, "locked by wang"),
        ({"is_breaker_open": True, "problem": "refused"}, "breaker open: refused"),
        ({"slots": 0}, "it has no slots"),
        ({"resident": ("other",)}, "does not have m"),
    ],
)
def test_it_leaves_out_what_may_not_take_the_request_and_says_why(
    change: dict[str, object], reason: str
) -> None:
    decision = choose(M, [replace(FAST, **change)], 0.0)  # type: ignore[arg-type]  # fields by name
    assert decision.best is None
    assert decision.rejected == {1: reason}


def test_a_lock_lets_its_own_holder_pass() -> None:
    mine = replace(FAST, locked_by="job:7")
    assert order(M._replace(holder="job:7"), mine) == [1]
    assert order(M._replace(holder="job:8"), mine) == []


def test_an_exclusive_request_wants_the_lock_first() -> None:
    exclusive = M._replace(holder="job:7", needs_lock=True)
    assert choose(exclusive, [FAST], 0.0).rejected == {1: "not locked for this job yet"}
    assert order(exclusive, replace(FAST, locked_by="job:7")) == [1]


def test_only_the_nodes_asked_for_and_not_those_avoided() -> None:
    assert order(M._replace(nodes=frozenset({2})), FAST, SLOW) == [2]
    assert order(M._replace(avoid=frozenset({1})), FAST, SLOW) == [2]


def test_auto_takes_what_is_resident_else_what_is_on_disk() -> None:
    both = replace(FAST, resident=("r",), on_disk=("d",))
    assert choose(Request(), [both], 0.0).candidates[0].model == "r"
    assert choose(Request(), [replace(both, resident=())], 0.0).candidates[0].model == "d"
    assert choose(Request(), [replace(both, resident=(), on_disk=())], 0.0).rejected == {1: "has no model"}


@pytest.mark.parametrize(
    ("asked", "has", "same"),
    [
        ("m", "m", True),
        ("m", "m:latest", True),
        ("m:latest", "m", True),
        ("host:5000/org/m", "host:5000/org/m:latest", True),
        ("m:8b", "m:latest", False),
        ("m:8b", "m", False),
        ("m", "n", False),
    ],
)
def test_a_name_without_a_tag_means_its_latest(asked: str, has: str, same: bool) -> None:
    assert same_model(asked, has) is same


def test_least_load_goes_by_the_share_of_busy_slots() -> None:
    assert order(M, replace(FAST, in_flight=2), SLOW, policy="least_load") == [2, 1]


def test_an_unmeasured_fleet_prefers_gpus_then_lower_load() -> None:
    blank = EngineSnapshot(1, 1, "a", True, resident=("m",), slots=1, load_percent=10.0)
    gpu = replace(blank, engine_id=2, has_gpu=True, load_percent=90.0)
    idle = replace(blank, engine_id=3, load_percent=5.0)
    assert order(Request(model="m"), blank, gpu, idle) == [2, 3, 1]


@pytest.mark.parametrize("pause_s", [0.001, 0.01, 0.25, 2.0])
def test_round_robin_gives_each_as_much(pause_s: float) -> None:
    fleet = [FAST, SLOW, replace(FAST, engine_id=3)]
    firsts = Counter(
        choose(M, fleet, 1_764_000_000 + turn * pause_s, "round_robin").candidates[0].engine_id
        for turn in range(3000)
    )
    assert set(firsts) == {1, 2, 3}
    assert min(firsts.values()) > 850


def test_a_model_that_only_embeds_takes_no_chat_and_comes_first_for_vectors() -> None:
    both = EngineSnapshot(1, 1, "a", True, resident=("m",), embedders={"nomic:latest": False, "bge": True})
    assert choose(Request(model="nomic"), [both], 0).rejected == {1: "does not have nomic"}
    assert choose(Request(), [both], 0).candidates[0].model == "m"
    found = choose(Request(model="nomic", embeds=True), [both], 0).candidates[0]
    assert found.model == "nomic:latest"
    assert "model must be loaded" in found.why()
    assert choose(Request(model="m", embeds=True), [both], 0).candidates[0].model == "m"
    anything = choose(Request(embeds=True), [both], 0).candidates[0]
    assert (anything.model, "model resident" in anything.why()) == ("bge", True)


def test_without_a_model_that_only_embeds_vectors_by_any_model_are_refused() -> None:
    chat = EngineSnapshot(1, 1, "a", True, resident=("m",))
    assert choose(Request(embeds=True), [chat], 0).rejected == {1: "has no model"}


EQUAL = [replace(FAST, engine_id=number, node_id=number) for number in range(1, 6)]


def firsts(request: Request, fleet: list[EngineSnapshot], *, draws: int = 500) -> Counter[int]:
    """How often each engine comes first, at moments a little apart."""
    return Counter(choose(request, fleet, 1.0 + draw / 1000).candidates[0].engine_id for draw in range(draws))


def test_a_conversation_stays_with_its_engine() -> None:
    for prefix in range(1, 50):
        assert len(firsts(M._replace(prefix=prefix), EQUAL, draws=20)) == 1


def test_conversations_spread_over_equal_engines() -> None:
    found = Counter(
        choose(M._replace(prefix=prefix), EQUAL, 1.0).candidates[0].engine_id for prefix in range(1, 1001)
    )
    assert set(found) == {1, 2, 3, 4, 5}
    assert min(found.values()) > 140


def test_most_stay_where_they_are_when_an_engine_goes() -> None:
    kept = [
        prefix
        for prefix in range(1, 501)
        if order(M._replace(prefix=prefix), *EQUAL)[0] == order(M._replace(prefix=prefix), *EQUAL[1:])[0]
    ]
    gone = [prefix for prefix in range(1, 501) if order(M._replace(prefix=prefix), *EQUAL)[0] == 1]
    assert len(kept) + len(gone) == 500


def test_a_conversation_leaves_an_engine_that_is_much_busier_than_the_others() -> None:
    request = M._replace(prefix=7)
    home = choose(request, EQUAL, 1.0).candidates[0]
    assert "the conversation's prefix belongs here" in home.why()
    others = [one for one in EQUAL if one.engine_id != home.engine_id]
    for in_flight, stays in ((1, True), (2, False)):
        fleet = [*others, replace(home.snapshot, in_flight=in_flight)]
        assert (choose(request, fleet, 1.0).candidates[0].engine_id == home.engine_id) is stays


def test_affinity_never_prefers_a_slow_engine_or_one_without_a_gpu() -> None:
    gpu = replace(FAST, has_gpu=True)
    for prefix in range(1, 20):
        assert order(M._replace(prefix=prefix), SLOW, FAST)[0] == 1
        assert order(M._replace(prefix=prefix), replace(FAST, engine_id=2), gpu)[0] == 1


def test_equal_engines_share_what_comes_at_one_moment_from_many_processes() -> None:
    found = firsts(M, EQUAL)
    assert len(found) >= 4, "ties spread"
    busy = [replace(one, load_percent=90.0) for one in EQUAL[:4]]
    idle = replace(EQUAL[4], load_percent=1.0)
    drawn = firsts(M, [*busy, idle])
    assert drawn[5] > 500 / 5 * 1.5, "the less busy of two is taken, so it comes more often than by chance"


def test_all_the_candidates_are_kept_whatever_comes_first() -> None:
    for request in (M, M._replace(prefix=3)):
        assert sorted(order(request, *EQUAL, SLOW)) == [1, 2, 2, 3, 4, 5]


def test_a_conversation_goes_to_the_engine_that_answered_it_while_that_is_not_much_busier() -> None:
    for in_flight, first in ((0, 3), (7, 3), (9, 1)):
        fleet = [EQUAL[0], replace(EQUAL[2], in_flight=in_flight)]
        found = choose(M._replace(prefix=7, home=3), fleet, 1.0).candidates
        assert found[0].engine_id == first
        assert ("it answered this conversation before" in found[0].why()) is (first == 3)


def test_an_engine_that_is_gone_is_nobodys_home() -> None:
    asked = M._replace(prefix=7, home=9)
    assert order(asked, *EQUAL) == order(asked._replace(home=None), *EQUAL)
    assert order(asked._replace(home=1, avoid=frozenset({1})), *EQUAL)[0] != 1
