"""Clients that dawdle, do not read, or speak oddly, over real sockets to the server's own protocol."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import uvicorn

from dpl_site.processes import connections
from dpl_site.processes.connections import BoundedConnection
from dpl_site.processes.web import configuration

HEAD = b"GET / HTTP/1.1\r\nHost: x\r\n"
BIG = 32 * 1024 * 1024


class Told:
    """An application that answers with its path, or with much on /big, and what became of its answers."""

    def __init__(self) -> None:
        self.left = threading.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body = bytes(BIG) if scope["path"] == "/big" else scope["path"].encode()
        head = [(b"content-length", str(len(body)).encode())]
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": head})
        await send({"type": "http.response.body", "body": body, "more_body": True})
        if scope["path"] == "/big" and (await receive())["type"] == "http.disconnect":
            self.left.set()
        await send({"type": "http.response.body", "body": b""})


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def dial(told: Told) -> Iterator[Callable[..., socket.socket]]:
    """Connect and send something."""
    config = uvicorn.Config(
        told, port=0, http=BoundedConnection, ws="none", lifespan="off", log_level="critical"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    deadline = time.monotonic() + 20
    while not server.started:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    made: list[socket.socket] = []

    def dialled(data: bytes = b"") -> socket.socket:
        made.append(socket.create_connection(("127.0.0.1", port), timeout=20))
        made[-1].sendall(data)
        return made[-1]

    yield dialled
    for one in made:
        one.close()
    server.should_exit = True
    thread.join(20)


def to_end(connection: socket.socket) -> bytes:
    """Everything until the server ends it, rudely or not."""
    parts = []
    with contextlib.suppress(ConnectionResetError):
        while data := connection.recv(65536):
            parts.append(data)
    return b"".join(parts)


def test_the_site_is_served_with_these_bounds() -> None:
    assert configuration().http is BoundedConnection


def test_half_a_head_is_waited_for_and_then_refused(
    dial: Callable[..., socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "HEAD_S", 1.0)
    answer = to_end(dial(HEAD + b"X-Slow: "))
    assert answer.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
    assert b"Send it faster" in answer


def test_who_connects_and_says_nothing_is_let_go(
    dial: Callable[..., socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "HEAD_S", 0.1)
    assert not to_end(dial())


def test_an_endless_head_is_refused(dial: Callable[..., socket.socket]) -> None:
    connection = dial(HEAD + b"X-Long: ")
    with contextlib.suppress(OSError):  # it may be closed before all is sent
        for _ in range(80):
            connection.sendall(b"x" * 1024)
    assert connection.recv(65536).startswith(b"HTTP/1.1 431 ")


def test_who_does_not_read_is_dropped_and_whoever_answers_him_is_told(
    dial: Callable[..., socket.socket], told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "UNREAD_S", 0.1)
    connection = dial(HEAD.replace(b"/ ", b"/big ") + b"\r\n")
    assert told.left.wait(20)
    assert len(to_end(connection)) < BIG


def test_who_reads_slowly_but_reads_gets_everything(
    dial: Callable[..., socket.socket], told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = dial(HEAD.replace(b"/ ", b"/big ") + b"\r\n")
    time.sleep(0.1)
    got = 0
    while got < BIG:
        got += len(connection.recv(1 << 20))
    assert not told.left.is_set()


def test_pipelined_requests_are_answered_in_turn(dial: Callable[..., socket.socket]) -> None:
    paths = [b"/a", b"/b", b"/c", b"/d", b"/e"]
    connection = dial(b"".join(HEAD.replace(b"/ ", path + b" ") + b"\r\n" for path in paths))
    got = b""
    while got.count(b"200 OK") < 5 or not got.endswith(b"/e"):
        got += connection.recv(65536)
    assert [got.find(path) for path in paths] == sorted(got.find(path) for path in paths)


def test_http_1_0_gets_its_answer_and_an_end(dial: Callable[..., socket.socket]) -> None:
    answer = to_end(dial(b"GET /old HTTP/1.0\r\n\r\n"))
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"connection: close" in answer
    assert answer.endswith(b"/old")
