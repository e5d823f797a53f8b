"""What is kept of a request: where it went and why, who else was considered, how long and how much."""

from __future__ import annotations

import pytest

from accounts.authentication import Principal
from inference.dialects.base import Reply
from inference.errors import Unreachable
from inference.records import CANCELLED, CLIENT_LEFT, MOST_TOLD, OK, Note, RequestRecord
from inference.scheduling import EngineSnapshot, Request, choose

OTTO = Principal(7, "otto", "operator", frozenset({"chat"}), key_id=3)


class Clock:
    """Time that passes when a test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def snapshot(engine_id: int, name: str, **more: object) -> EngineSnapshot:
    known: dict[str, object] = {"is_online": True, "resident": ("m:latest",)}
    return EngineSnapshot(engine_id, engine_id * 10, name, **known | more)  # type: ignore[arg-type]


FLEET = {
    one.engine_id: one
    for one in (
        snapshot(1, "fast"),
        snapshot(2, "slow", in_flight=1),
        snapshot(3, "dead", is_online=False, problem="no route"),
    )
}


def note(path: str = "/v1/chat/completions") -> tuple[Note, Clock]:
    clock = Clock()
    return Note("r-1", path, clock, at=1_000.0, principal=OTTO, model_asked="m", is_streaming=True), clock


def reply(ttft_ms: int | None = 50, prompt: int | None = 5, completion: int | None = 9) -> Reply:
    return Reply("", "", "stop", prompt, completion, ttft_ms=ttft_ms)


def test_it_tells_who_asked_for_what_and_which_engine_answered() -> None:
    one, clock = note()
    decision = choose(Request(model="m"), list(FLEET.values()), 0.0)
    one.decided(decision, FLEET)
    clock.now += 0.25
    one.chosen(decision.candidates[0], "fast")
    clock.now += 1
    one.used(reply())
    record = one.record()
    assert (record.request_id, record.at, record.user_id, record.key_id) == ("r-1", 1_000.0, 7, 3)
    assert (record.outcome, record.status, record.is_streaming) == (OK, 200, True)
    assert (record.model_asked, record.model_used) == ("m", "m:latest")
    assert (record.waited_ms, record.ttft_ms, record.duration_ms) == (250, 300, 1250)
    assert (record.prompt_tokens, record.completion_tokens, record.is_estimated) == (5, 9, False)


def test_it_tells_why_one_engine_was_chosen_and_others_were_not() -> None:
    one, _ = note()
    decision = choose(Request(model="m"), list(FLEET.values()), 0.0)
    one.decided(decision, FLEET)
    one.chosen(decision.candidates[0], "fast")
    (attempt,) = one.record().attempts
    assert (attempt.node_id, attempt.node_name, attempt.engine_id) == (10, "fast", 1)
    assert "model resident" in attempt.reasons
    assert [name for name, _ in attempt.others] == ["slow"]
    assert attempt.rejected == (("dead", "offline: no route"),)


def test_one_that_is_counted_only_tells_where_it_went_and_not_why() -> None:
    taken, _ = note()
    decision = choose(Request(model="m"), list(FLEET.values()), 0.0)
    taken.decided(decision, FLEET)
    taken.chosen(decision.candidates[0], "fast")
    taken.used(reply())
    record = taken.record(in_full=False)
    assert (record.last.node_name, record.model_used, record.tokens) == ("fast", "m:latest", 14)
    assert (record.last.reasons, record.last.others, record.last.rejected) == ((), (), ())
    assert not record.is_in_full


def test_a_try_that_failed_stays_beside_the_one_that_came_after_it() -> None:
    one, clock = note()
    decision = choose(Request(model="m"), list(FLEET.values()), 0.0)
    for candidate, name in zip(decision.candidates, ("fast", "slow"), strict=True):
        one.decided(decision, FLEET)
        clock.now += 0.1
        one.chosen(candidate, name)
        if name == "fast":
            one.failed(Unreachable("Nobody answers."))
    record = one.record()
    assert [(tried.node_name, tried.error) for tried in record.attempts] == [
        ("fast", "unreachable"),
        ("slow", ""),
    ]
    assert record.failovers == (record.attempts[0],)
    assert record.attempts[0].message == "Nobody answers."
    assert record.waited_ms == 200


def test_a_request_that_waits_until_its_client_leaves_has_waited_all_the_time() -> None:
    one, clock = note()
    one.decided(choose(Request(model="m"), list(FLEET.values()), 0.0), FLEET)
    clock.now += 3
    one.ended(CANCELLED, CLIENT_LEFT)
    record = one.record()
    assert (record.outcome, record.is_failed, record.waited_ms) == (CANCELLED, False, 3000)
    assert (record.last.engine_id, record.completion_tokens) == (None, None)


@pytest.mark.parametrize(
    ("path", "piece"), [("/v1/chat/completions", b"data: {}\n\n"), ("/api/chat", b"{}\n")]
)
def test_pieces_count_as_tokens_where_the_engine_tells_none(path: str, piece: bytes) -> None:
    one, _ = note(path)
    for _ in range(12):
        one.wrote(piece)
    one.used(reply(prompt=None, completion=None))
    record = one.record()
    assert (record.completion_tokens, record.is_estimated, record.prompt_tokens) == (12, True, None)
    one.used(reply(completion=0))
    record = one.record()
    assert (record.completion_tokens, record.is_estimated) == (0, False)


def test_a_decision_over_a_large_fleet_is_told_in_short() -> None:
    fleet = {n: snapshot(n, f"n{n}", is_online=n % 2 == 0) for n in range(1, 1001)}
    one, _ = note()
    one.decided(choose(Request(model="m"), list(fleet.values()), 0.0), fleet)
    attempt = one.record().last
    assert (len(attempt.others), len(attempt.rejected)) == (MOST_TOLD, MOST_TOLD)


def test_a_model_that_nobody_has_is_no_model_that_was_used() -> None:
    one, _ = note()
    one.decided(choose(Request(model="nope"), list(FLEET.values()), 0.0), FLEET)
    one.ended("model_not_found", 404)
    record: RequestRecord = one.record()
    assert (record.model_used, record.is_failed, record.last.node_id) == ("", True, None)
