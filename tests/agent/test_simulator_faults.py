"""Faults on demand: each kind as a client meets it, in both dialects, by flag, header, mark and order."""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.agent.talk import ask, dialled, post, to_end
from tests.machines import engine

DIALECTS = {"ollama": "/api/chat", "openai": "/v1/chat/completions"}


def body(text: str = "one two three four", *, stream: bool = True) -> dict[str, Any]:
    return {"model": "llama3:8b", "stream": stream, "messages": [{"role": "user", "content": text}]}


@pytest.fixture(params=sorted(DIALECTS))
def dialect(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def path(dialect: str) -> str:
    return DIALECTS[dialect]


@pytest.fixture
def url(dialect: str) -> Iterator[str]:
    with engine(dialect=dialect, echo=True) as running:
        yield running


def stats(url: str) -> dict[str, Any]:
    found: dict[str, Any] = ask(url, "/sim/stats").json()
    return found


def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds, for ten seconds at most."""
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("status", [500, 503])
def test_an_error_status(url: str, path: str, dialect: str, status: int, stream: bool) -> None:
    answer = ask(url, path, body(stream=stream), headers={"X-Sim-Fault": str(status)})
    error = answer.json()["error"]
    message = error if dialect == "ollama" else error["message"]
    assert answer.status == status
    assert message == (
        "an error was encountered while running the model: unexpected EOF"
        if status == 500
        else "server busy, please try again.  maximum pending requests exceeded"
    )
    assert stats(url)["faults"][str(status)] == stats(url)["failed"] == 1


@pytest.mark.parametrize("stream", [True, False])
def test_refuse_resets_the_connection(url: str, path: str, stream: bool) -> None:
    with (
        dialled(url, post(path, body(stream=stream), "X-Sim-Fault: refuse")) as connection,
        pytest.raises(ConnectionResetError),
    ):
        to_end(connection)


def test_hang_answers_nothing_until_the_client_gives_up(url: str, path: str) -> None:
    with dialled(url, post(path, body("[[sim:hang]]"))) as connection:
        connection.settimeout(0.15)
        with pytest.raises(TimeoutError):
            connection.recv(1)
        assert stats(url)["in_flight"] == 1
    until(lambda: stats(url)["cancelled"] == 1)
    assert stats(url)["in_flight"] == 0


@pytest.mark.parametrize("stream", [True, False])
def test_cut_ends_the_connection_in_the_middle(url: str, path: str, stream: bool) -> None:
    text = "one two three four five six seven eight [[sim:cut]]"
    with dialled(url, post(path, body(text, stream=stream))) as connection:
        raw = to_end(connection)
    assert raw.startswith(b"HTTP/1.1 200 OK")
    assert b"one" in raw
    assert not raw.endswith(b"0\r\n\r\n")
    with pytest.raises(http.client.IncompleteRead):
        ask(url, path, body(text, stream=stream))
    assert stats(url)["failed"] == 2


def test_a_stream_without_its_terminator_ends_cleanly_all_the_same(url: str, path: str, dialect: str) -> None:
    answer = ask(url, path, body("one two [[sim:no-terminator]]"))
    assert b"[DONE]" not in answer.body
    if dialect == "ollama":
        text = "".join(line["message"]["content"] for line in answer.lines())
        assert all(line["done"] is False for line in answer.lines())
    else:
        choices = [event["choices"][0] for event in answer.events()]
        text = "".join(choice["delta"]["content"] or "" for choice in choices)
        assert all(choice["finish_reason"] is None for choice in choices)
    assert text == "one two [[sim:no-terminator]]"


def test_a_whole_answer_without_its_end(url: str, path: str, dialect: str) -> None:
    answer = ask(url, path, body("one [[sim:no-terminator]]", stream=False)).json()
    if dialect == "ollama":
        assert list(answer) == ["model", "created_at", "message", "done"]
        assert answer["done"] is False
    else:
        assert answer["choices"][0]["finish_reason"] is None
        assert "usage" not in answer


def test_ollamas_v1_swallows_its_error_and_says_nothing() -> None:
    with engine(echo=True) as url:
        events = ask(url, "/v1/chat/completions", body("a b [[sim:no-terminator]]")).events()
    assert events[-1]["model"] == ""
    assert events[-1]["choices"] == [{"index": 0, "delta": {"content": ""}, "finish_reason": None}]


@pytest.mark.parametrize("stream", [True, False])
def test_a_slow_first_token_is_only_slow(dialect: str, path: str, stream: bool) -> None:
    with engine(dialect=dialect, echo=True, slow_first_token_s=0.1) as url:
        began = time.monotonic()
        answer = ask(url, path, body("one [[sim:slow-first-token]]", stream=stream))
        assert time.monotonic() - began >= 0.1
        assert answer.status == 200
        assert stats(url)["finished"] == 1


def test_a_silent_one_sends_the_head_of_a_stream_and_nothing_else(dialect: str, path: str, url: str) -> None:
    with dialled(url, post(path, body("one [[sim:silent]]"))) as connection:
        head = connection.recv(65536)
        assert (head.startswith(b"HTTP/1.1 200"), head[-4:]) == (True, b"\r\n\r\n")
        connection.settimeout(0.1)
        with pytest.raises(TimeoutError):
            connection.recv(1)
        assert stats(url)["in_flight"] == 1
    until(lambda: stats(url)["cancelled"] == 1)


@pytest.mark.parametrize(("fault", "status"), [("500", 500), ("503", 503)])
def test_other_paths_fail_by_header_too(url: str, fault: str, status: int) -> None:
    assert ask(url, "/v1/models", headers={"X-Sim-Fault": fault}).status == status
    with (
        dialled(url, b"GET /v1/models HTTP/1.1\r\nX-Sim-Fault: refuse\r\n\r\n") as connection,
        pytest.raises(ConnectionResetError),
    ):
        to_end(connection)
    assert ask(url, "/v1/models", headers={"X-Sim-Fault": "cut"}).status == 200
    assert ask(url, "/v1/models", headers={"X-Sim-Fault": "what"}).status == 400


def test_a_share_of_requests_fails_and_a_seed_repeats_it(path: str, dialect: str) -> None:
    def statuses() -> list[int]:
        with engine(dialect=dialect, echo=True, faults=("500", "503"), fail_rate=0.5, seed=3) as url:
            return [ask(url, path, body(stream=False)).status for _ in range(40)]

    first = statuses()
    assert first == statuses()
    assert {200, 500, 503} == set(first)


def test_an_order_at_run_time_changes_what_fails(url: str, path: str) -> None:
    order = ask(url, "/sim/fault", {"fault": "503", "rate": 1})
    assert order.json() == {"fault": ["503"], "rate": 1.0}
    assert ask(url, path, body()).status == 503
    assert ask(url, "/v1/models").status == 200
    assert ask(url, "/sim/fault", {"fault": ["500", "503"]}).json()["rate"] == 1.0
    assert ask(url, "/sim/fault", {"fault": None}).json() == {"fault": [], "rate": 0.0}
    assert ask(url, path, body()).status == 200


def test_an_engine_that_refuses_everything_still_takes_orders(url: str, path: str) -> None:
    ask(url, "/sim/fault", {"fault": "refuse", "rate": 1})
    for sent in (post(path, body()), b"GET /v1/models HTTP/1.1\r\n\r\n"):
        with dialled(url, sent) as connection, pytest.raises(ConnectionResetError):
            to_end(connection)
    ask(url, "/sim/fault", {"fault": None})
    assert ask(url, path, body()).status == 200
    assert stats(url)["faults"]["refuse"] == 2


@pytest.mark.parametrize(
    "order",
    [b"{", b"[]", {"fault": "x"}, {"fault": 5}, {"fault": "cut", "rate": 2}, {"fault": "cut", "rate": True}],
)
def test_orders_that_make_no_sense_change_nothing(url: str, order: object) -> None:
    assert ask(url, "/sim/fault", order).status == 400
    assert stats(url)["rate"] == 0.0
    assert ask(url, "/sim/nope").status == 404
