"""Speed, places, loading and leaving: what takes time takes it, and who leaves frees his place at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.agent.talk import Answer, ask, dialled, post
from tests.agent.test_simulator_faults import stats, until
from tests.machines import engine


def body(text: str = "hello", *, stream: bool = True) -> dict[str, Any]:
    return {"model": "llama3:8b", "stream": stream, "messages": [{"role": "user", "content": text}]}


@pytest.fixture
def slow() -> Iterator[str]:
    """Two places, and replies that nobody waits for."""
    with engine(slots=2, tokens_per_second=10.0, words=1000) as url:
        yield url


@pytest.mark.parametrize("stream", [True, False])
def test_a_reply_takes_its_latency_and_its_tokens_time(stream: bool) -> None:
    with engine(latency_s=0.04, first_token_s=0.02, tokens_per_second=200.0, words=20) as url:
        began = time.monotonic()
        answer = ask(url, "/api/chat", body(stream=stream))
        assert time.monotonic() - began >= 0.16
    last = answer.lines()[-1]
    assert last["eval_count"] == 20
    assert 0.06e9 <= last["prompt_eval_duration"] < last["total_duration"]
    assert 0.1e9 <= last["eval_duration"] < last["total_duration"]


def test_the_first_token_comes_before_the_others() -> None:
    with (
        engine(latency_s=0.05, tokens_per_second=100.0, words=10) as url,
        dialled(url, post("/api/chat", body())) as connection,
    ):
        began = time.monotonic()
        raw = b""
        while raw.count(b'"done":') < 1:
            raw += connection.recv(65536)
        first = time.monotonic()
        while raw.count(b'"done":') < 8:
            raw += connection.recv(65536)
        assert first - began >= 0.05
        assert time.monotonic() - first >= 5 / 100


def test_others_at_work_slow_a_reply_down_where_that_is_wished() -> None:
    with engine(slots=3, tokens_per_second=200.0, words=20, parallel_slowdown=1.0) as url:
        began = time.monotonic()
        together(url, 3)
        assert time.monotonic() - began >= 0.25


def together(url: str, count: int, text: str = "hello") -> list[Answer]:
    """Ask so many times at once."""
    answers: list[Answer] = []
    threads = [
        threading.Thread(target=lambda: answers.append(ask(url, "/api/chat", body(text, stream=False))))
        for _ in range(count)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def test_more_requests_than_places_wait_in_turn() -> None:
    with engine(slots=2, latency_s=0.05) as url:
        began = time.monotonic()
        answers = together(url, 6)
        assert time.monotonic() - began >= 0.15
        assert [answer.status for answer in answers] == [200] * 6
        assert stats(url)["in_flight_high_water"] == 2
        assert stats(url)["busy_seconds"] >= 6 * 0.05
        assert stats(url)["finished"] == 6


def test_more_than_may_wait_get_ollamas_503() -> None:
    with engine(slots=1, max_queue=1, latency_s=0.15) as url:
        answers = together(url, 4)
        assert sorted(answer.status for answer in answers) == [200, 200, 503, 503]
        busy = next(answer for answer in answers if answer.status == 503)
        assert busy.json() == {"error": "server busy, please try again.  maximum pending requests exceeded"}


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_leaves_frees_its_place_at_once(slow: str, stream: bool) -> None:
    with dialled(slow, post("/api/chat", body(stream=stream))):
        until(lambda: stats(slow)["in_flight"] == 1)
    until(lambda: stats(slow)["in_flight"] == 0)
    assert stats(slow)["cancelled"] == 1


def test_a_client_that_leaves_while_it_waits_is_never_served(slow: str) -> None:
    sent = post("/api/chat", body())
    with dialled(slow, sent), dialled(slow, sent):
        until(lambda: stats(slow)["in_flight"] == 2)
        with dialled(slow, sent):
            until(lambda: stats(slow)["waiting"] == 1)
        until(lambda: stats(slow)["waiting"] == 0)
        assert stats(slow)["cancelled"] == 1
    until(lambda: stats(slow)["cancelled"] == 3)
    assert stats(slow)["started"] == 3


def test_a_client_that_sends_no_more_has_left(slow: str) -> None:
    with dialled(slow, post("/api/chat", body())) as connection:
        until(lambda: stats(slow)["in_flight"] == 1)
        connection.shutdown(1)
        until(lambda: stats(slow)["in_flight"] == 0)


def test_a_client_that_neither_reads_nor_writes_any_more_has_left() -> None:
    with engine(words=100_000) as url, dialled(url, post("/api/chat", body())) as connection:
        until(lambda: stats(url)["in_flight"] == 1)
        time.sleep(0.1)
        connection.shutdown(1)
        until(lambda: stats(url)["cancelled"] == 1)


def test_a_client_that_does_not_read_holds_the_reply_back() -> None:
    with engine(words=100_000) as url, dialled(url, post("/api/chat", body())):
        until(lambda: stats(url)["in_flight"] == 1)
        time.sleep(0.1)
        assert stats(url)["in_flight"] == 1
        assert stats(url)["finished"] == 0


def test_a_cold_model_loads_first_and_a_warm_one_does_not() -> None:
    with engine(load_s=0.1) as url:
        began = time.monotonic()
        assert ask(url, "/api/generate", {"model": "llama3:8b"}).json()["done_reason"] == "load"
        assert time.monotonic() - began >= 0.1
        assert ask(url, "/api/chat", body(stream=False)).json()["load_duration"] < 0.1e9
    with engine(load_s=0.1) as url:
        assert ask(url, "/api/chat", body(stream=False)).json()["load_duration"] >= 0.1e9
    with engine(load_s=5.0, preload=True) as url:
        assert ask(url, "/api/chat", body(stream=False)).status == 200
        assert len(ask(url, "/api/ps").json()["models"]) == 1


def test_its_counts_add_up(slow: str) -> None:
    for fault in ("500", "503"):
        ask(slow, "/api/chat", body(), headers={"X-Sim-Fault": fault})
    ask(slow, "/api/chat", {"model": "nope"})
    with dialled(slow, post("/api/chat", body())):
        until(lambda: stats(slow)["in_flight"] == 1)
        found = stats(slow)
        assert found["started"] == 3
        parts = ("finished", "failed", "cancelled", "in_flight", "waiting")
        assert sum(found[part] for part in parts) == found["started"]


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nX: " + b"y" * 40_000, b"431"),
        (b"POST /api/chat HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n", b"413"),
        (b"POST /api/chat HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", b"400"),
    ],
)
def test_what_is_not_http_is_refused(slow: str, sent: bytes, status: bytes) -> None:
    with dialled(slow, sent) as connection:
        assert connection.recv(65536).startswith(b"HTTP/1.1 " + status)


def test_a_body_may_come_in_chunks_and_in_crumbs() -> None:
    sent = b"POST /api/chat HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    sent += b'10\r\n{"model":"llama3\r\n6\r\n:8b"} \r\n0\r\n\r\n'
    with engine() as url, dialled(url, b"") as connection:
        for index in range(len(sent)):
            connection.sendall(sent[index : index + 1])
        assert b'"done_reason":"load"' in connection.recv(65536)


def test_one_connection_serves_many_requests() -> None:
    with engine(echo=True) as url, dialled(url, post("/api/chat", body("a")) * 5) as connection:
        raw = b""
        while raw.count(b'"done":true') < 5:
            raw += connection.recv(65536)
        assert raw.count(b"HTTP/1.1 200 OK") == 5
