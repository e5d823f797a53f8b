"""The agent over real HTTP: its endpoints, its lock, its token, and what it refuses."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from urllib.parse import urlsplit

import psutil
import pytest

from agent import __version__
from agent.application import Application, Reply, Request
from agent.identity import Identity
from agent.payloads import CpuPayload, StatusPayload
from agent.sampling import Board
from agent.server import MAX_BODY, MAX_CONNECTIONS
from tests.agent.talk import ask, dialled, post, to_end
from tests.agent.test_lock import Clock
from tests.machines import RunningAgent, agent


@pytest.fixture
def node() -> Iterator[RunningAgent]:
    with agent() as running:
        yield running


@pytest.fixture(scope="module")
def guarded() -> Iterator[RunningAgent]:
    with agent(token="s3cret") as running:
        yield running


def test_status_has_the_shape_that_was_agreed(node: RunningAgent) -> None:
    answer = ask(node.url, "/status")
    status = answer.json()
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert list(status) == list(StatusPayload.__annotations__)
    assert (status["agent_version"], status["hostname"], status["boot_id"]) == (__version__, "box", "1")
    assert (status["locked"], status["lock"], status["model"], status["models"]) == (False, None, None, [])
    assert list(status["cpu"]) == list(CpuPayload.__annotations__)
    assert set(status["memory"]) == set(status["swap"]) == {"total_bytes", "used_bytes", "percent"}
    assert set(status["disk"]) == {"read_mb_s", "write_mb_s"}
    assert set(status["network"]) == {"rx_mbps", "tx_mbps"}
    assert (status["gpus"], status["filesystems"]) == ([], [])


def test_status_is_answered_from_the_last_sample_and_measures_nothing(
    node: RunningAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measure(*_: object, **__: object) -> None:
        raise AssertionError("a question made the agent measure its machine")

    for name in ("cpu_percent", "virtual_memory", "swap_memory", "disk_io_counters", "net_io_counters"):
        monkeypatch.setattr(psutil, name, measure)
    for name in ("disk_partitions", "disk_usage", "getloadavg", "boot_time", "process_iter", "Process"):
        monkeypatch.setattr(psutil, name, measure)
    assert ask(node.url, "/status").status == 200


def test_health_is_flowlines_and_open_to_all(guarded: RunningAgent) -> None:
    answer = ask(guarded.url, "/api/health")
    assert (answer.status, answer.json()["status"]) == (200, "ok")
    assert abs(answer.json()["timestamp"] - time.time()) < 5


def test_a_lock_is_given_shown_renewed_refused_to_others_and_freed(node: RunningAgent) -> None:
    body = {"id": "j7", "owner": "ada", "installation": "i1", "reason": "a run", "ttl_s": 60}
    given = ask(node.url, "/lock", body)
    lock = given.json()["lock"]
    assert (given.status, given.json()["locked"]) == (200, True)
    assert {name: lock[name] for name in ("id", "owner", "installation", "reason")} == {
        name: body[name] for name in ("id", "owner", "installation", "reason")
    }
    ends = datetime.fromisoformat(lock["expires_at"])
    assert 55 < (ends - datetime.now(UTC)).total_seconds() <= 60.1
    assert ask(node.url, "/status").json()["locked"] is True
    refused = ask(node.url, "/lock", {"id": "other"})
    assert (refused.status, refused.json()["locked"], refused.json()["lock"]["owner"]) == (409, True, "ada")
    assert refused.json()["error"]["code"] == "locked"
    assert ask(node.url, "/lock", {"id": "j7"}).status == 200
    assert ask(node.url, "/unlock", {"id": "other"}).status == 409
    assert ask(node.url, "/unlock", {"id": "j7"}).json() == {"locked": False}
    assert ask(node.url, "/unlock", {"id": "j7"}).status == 200
    assert ask(node.url, "/status").json()["lock"] is None


def test_an_empty_body_locks_and_unlocks_in_the_callers_name(node: RunningAgent) -> None:
    lock = ask(node.url, "/lock", b"").json()["lock"]
    assert (lock["owner"], lock["installation"], lock["reason"]) == ("127.0.0.1", None, "")
    assert ask(node.url, "/lock", b"{}").status == 200
    assert ask(node.url, "/lock", {"id": "j7"}).status == 409
    assert ask(node.url, "/unlock", b"").status == 200


def test_force_unlocks_what_is_anothers(node: RunningAgent) -> None:
    ask(node.url, "/lock", {"id": "j7"})
    assert ask(node.url, "/unlock", b"").status == 409
    assert ask(node.url, "/unlock", {"force": True}).json() == {"locked": False}


def test_a_lock_ends_by_itself() -> None:
    clock = Clock()
    identity = Identity(hostname="box", os="Linux", boot_id="1", cpu_model=None, logical_cores=None)
    application = Application(identity=identity, board=Board(), token=None, clock=clock)

    def said(method: str, path: str, body: bytes = b"") -> Reply:
        return application.answer(Request(method, path, "10.0.0.5", "", body))

    assert said("POST", "/lock", b'{"id": "j7", "ttl_s": 1}').status == 200
    clock.now += 0.9
    assert said("GET", "/status").body["locked"] is True
    clock.now += 0.1
    assert said("GET", "/status").body["locked"] is False
    assert said("POST", "/lock", b'{"id": "other"}').status == 200


@pytest.mark.parametrize("path", ["/status", "/lock", "/unlock"])
@pytest.mark.parametrize(
    "authorization",
    [None, "Bearer wrong", "Bearer", "Bearer s3cre", "Basic s3cret", "s3cret", "Bearer s3crét"],
)
def test_without_its_token_it_says_nothing(
    guarded: RunningAgent, path: str, authorization: str | None
) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}
    answer = ask(guarded.url, path, None if path == "/status" else {}, headers=headers)
    assert answer.status == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.json()["error"]["code"] == "unauthorized"


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "Token"])
def test_with_its_token_it_answers(guarded: RunningAgent, scheme: str) -> None:
    assert ask(guarded.url, "/status", headers={"Authorization": f"{scheme} s3cret"}).status == 200


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("POST", "/status", 405, "GET, HEAD"),
        ("GET", "/lock", 405, "POST"),
        ("DELETE", "/unlock", 405, "POST"),
        ("BREW", "/lock", 405, "POST"),
        ("GET", "/", 404, None),
        ("GET", "/status/", 404, None),
        ("POST", "/locks", 404, None),
    ],
)
def test_wrong_methods_and_paths_are_told_in_json(
    node: RunningAgent, method: str, path: str, status: int, allow: str | None
) -> None:
    answer = ask(node.url, path, method=method)
    assert (answer.status, answer.headers.get("allow")) == (status, allow)
    assert path in answer.json()["error"]["message"]


def test_a_query_does_not_hide_a_path_and_head_has_no_body(node: RunningAgent) -> None:
    assert ask(node.url, "/status?x=1").status == 200
    answer = ask(node.url, "/status", method="HEAD")
    assert (answer.status, answer.body) == (200, b"")
    assert int(answer.headers["content-length"]) > 100


@pytest.mark.parametrize("body", [b"{", b"[]", b"\xff", b'{"ttl_s": 0}', b"[" * 60_000])
def test_a_bad_body_is_a_400_in_json(node: RunningAgent, body: bytes) -> None:
    answer = ask(node.url, "/lock", body)
    assert (answer.status, answer.json()["error"]["code"]) == (400, "bad_request")


def test_a_body_over_the_limit_is_a_413_before_it_is_sent(node: RunningAgent) -> None:
    head = f"POST /lock HTTP/1.1\r\nContent-Length: {MAX_BODY + 1}\r\n\r\n".encode()
    with dialled(node.url, head) as connection:
        answer = to_end(connection)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"65536 bytes at most" in answer
    assert ask(node.url, "/lock", b" " * MAX_BODY).status == 200


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET /status HTTP/3\r\n\r\n", 505),
        (b"POST /lock HTTP/1.1\r\nContent-Length: x\r\n\r\n", 400),
        (b"POST /lock HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 411),
        (b"GET /status HTTP/1.1\r\nX: " + b"y" * 40_000, 431),
        (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", 400),
    ],
)
def test_what_is_not_http_gets_json_and_the_end(node: RunningAgent, sent: bytes, status: int) -> None:
    with dialled(node.url, sent) as connection:
        head, _, body = to_end(connection).partition(b"\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status} ".encode())
    assert b"Connection: close" in head
    assert json.loads(body)["error"]["code"] == "bad_request"


def test_requests_in_one_connection_are_answered_in_turn(node: RunningAgent) -> None:
    sent = (
        post("/lock", {"id": "a"})
        + post("/unlock", {"id": "a"})
        + b"GET /nope HTTP/1.1\r\nConnection: close\r\n\r\n"
    )
    with dialled(node.url, sent) as connection:
        answer = to_end(connection)
    assert re.findall(rb"HTTP/1.1 (\d+)", answer) == [b"200", b"200", b"404"]


def test_it_asks_for_the_body_where_a_client_waits_for_that(node: RunningAgent) -> None:
    with dialled(
        node.url, b"POST /lock HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
    ) as connection:
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"{}")
        assert connection.recv(100).startswith(b"HTTP/1.1 200 ")


def test_a_caller_that_leaves_or_stalls_harms_nobody(node: RunningAgent) -> None:
    address = (urlsplit(node.url).hostname, urlsplit(node.url).port)
    stalled = [socket.create_connection(address, 5) for _ in range(5)]
    stalled[0].sendall(b"POST /lock HTTP/1.1\r\nContent-Length: 50\r\n\r\n{")
    stalled[1].sendall(b"GET /sta")
    stalled[0].close()
    assert ask(node.url, "/status").status == 200
    for connection in stalled[1:]:
        connection.close()


def test_too_many_connections_are_turned_away_and_room_comes_back(node: RunningAgent) -> None:
    address = (urlsplit(node.url).hostname, urlsplit(node.url).port)
    crowd = [socket.create_connection(address, 5) for _ in range(MAX_CONNECTIONS)]
    with socket.create_connection(address, 5) as late:
        assert late.recv(10) == b""
    for connection in crowd:
        connection.close()
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        try:
            assert ask(node.url, "/status").status == 200
            return
        except OSError:
            time.sleep(0.02)
    raise AssertionError("no room came back")


def test_of_many_callers_at_once_one_gets_the_lock(node: RunningAgent) -> None:
    statuses: list[int] = []
    gate = threading.Barrier(8)

    def claim(name: str) -> None:
        gate.wait()
        statuses.append(ask(node.url, "/lock", {"id": name}).status)

    threads = [threading.Thread(target=claim, args=(str(index),)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200] + [409] * 7


@pytest.mark.parametrize(
    "headers", [{"Origin": "http://evil.example"}, {"Host": "evil.example"}, {"Host": "evil.example:8001"}]
)
def test_without_a_token_it_answers_no_web_page(node: RunningAgent, headers: dict[str, str]) -> None:
    assert ask(node.url, "/status", headers=headers).status == 403
    answer = ask(node.url, "/lock", {"ttl_s": 5}, headers=headers | {"Content-Type": "text/plain"})
    assert answer.status == 403
    assert "DPL_AGENT_TOKEN" in answer.json()["error"]["message"]
    assert not ask(node.url, "/status").json()["locked"]


def test_with_a_token_it_may_have_any_name(guarded: RunningAgent) -> None:
    headers = {"Host": "box.lan:8001", "Authorization": "Bearer s3cret"}
    assert ask(guarded.url, "/status", headers=headers).status == 200
