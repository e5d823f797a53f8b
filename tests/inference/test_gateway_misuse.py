"""What clients and engines do that they should not: each is told in its dialect, costs little, and keeps no slot."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import httpx
import psutil
import pytest
from pytest_django import Settings

from dpl_site.lib.db import call
from dpl_site.processes import connections
from inference import arrival, attending
from inference.models import Slot
from tests.datasets.making import an_engine
from tests.engines.scripted import Exchange, scripted
from tests.inference.serving import served, until
from tests.machines import dead_url, engine

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

CHAT, OLLAMA_CHAT = "/v1/chat/completions", "/api/chat"
PATHS = {"openai": CHAT, "ollama": OLLAMA_CHAT}
MIB = 1 << 20


@pytest.fixture
def site() -> Iterator[str]:
    """A web server with the gateway's door before Django; its address."""
    with served() as url:
        yield url
    assert not Slot.objects.filter(holder__isnull=False).exists(), "a slot was kept"


def asked(text: str = "hi", **more: Any) -> dict[str, Any]:
    """A conversation of one message."""
    return {"model": "m", "messages": [{"role": "user", "content": text}], **more}


def error_of(path: str, response: httpx.Response) -> str:
    """The error that an answer is, or ends in, as a client of this dialect finds it."""
    last = [line for line in response.text.splitlines() if line.strip()][-1].removeprefix("data: ")
    error = json.loads(last)["error"]
    if path == CHAT:
        assert error.keys() >= {"message", "type", "code"}
        return str(error["message"])
    assert isinstance(error, str)
    return error


# --- Engines ----------------------------------------------------------------------------------------------

Answer = Callable[[Exchange], Awaitable[None]]


async def html(exchange: Exchange) -> None:
    await exchange.whole(b"<html><body>502 Bad Gateway</body></html>", content_type="text/html")


async def half_a_chunk(exchange: Exchange) -> None:
    await exchange.begin()
    await exchange.send(b'100\r\ndata: {"choices"')
    exchange.hang_up()


async def a_gigabyte(exchange: Exchange) -> None:
    is_ollama = exchange.path == OLLAMA_CHAT
    more = b"x" * 4000
    record = (
        b'{"message":{"content":"%b"},"done":false}\n'
        if is_ollama
        else b'data: {"choices":[],"more":"%b"}\n\n'
    )
    await exchange.begin("application/x-ndjson" if is_ollama else "text/event-stream")
    for _ in range(1 << 14):
        await exchange.chunk(record % more * 16)


async def a_gigabyte_in_one_line(exchange: Exchange) -> None:
    await exchange.begin("application/x-ndjson")
    for _ in range(1 << 10):
        await exchange.chunk(b"x" * MIB)


async def nothing(exchange: Exchange) -> None:
    await exchange.left()


async def a_head_and_nothing(exchange: Exchange) -> None:
    await exchange.begin()
    await exchange.left()


async def no_http(exchange: Exchange) -> None:
    await exchange.send(b"SSH-2.0-OpenSSH_9.6\r\n")
    exchange.hang_up()


ENGINES: dict[str, tuple[Answer, str]] = {
    "html": (html, "HTML"),
    "half a chunk": (half_a_chunk, "broke"),
    "a gigabyte": (a_gigabyte, "passed its limit"),
    "a gigabyte in one line": (a_gigabyte_in_one_line, "passed its limit"),
    "nothing": (nothing, "said nothing"),
    "a head and nothing": (a_head_and_nothing, "said nothing"),
    "no HTTP": (no_http, "not in HTTP"),
}


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("path", list(PATHS.values()))
@pytest.mark.parametrize("kind", list(PATHS))
@pytest.mark.parametrize("engine_says", list(ENGINES))
async def test_an_engine_that_makes_no_sense_is_an_error_in_the_clients_dialect(
    site: str, keys: dict[str, str], settings: Settings, engine_says: str, kind: str, path: str, stream: bool
) -> None:
    settings.DPL_MAX_REPLY_MB, settings.DPL_SILENCE_TIMEOUT_S = 1, 0.3
    answer, told = ENGINES[engine_says]
    before = psutil.Process().memory_info().rss
    async with scripted(answer) as strange, httpx.AsyncClient(timeout=30) as client:
        await call(an_engine, "strange", strange.url, kind=kind, slots=1)
        headers = {"Authorization": f"Bearer {keys['otto']}"}
        for _ in range(2 if engine_says == "nothing" else 1):  # the second finds the only slot free
            response = await client.post(site + path, json=asked(stream=stream), headers=headers)
            assert told in error_of(path, response), response.text[-300:]
            assert stream or response.status_code >= 500
    assert psutil.Process().memory_info().rss - before < 200 * MIB


# --- Clients ----------------------------------------------------------------------------------------------


@pytest.fixture
def dial(site: str, keys: dict[str, str]) -> Iterator[Callable[..., socket.socket]]:
    """Connect, send the head of a POST with otto's key, and then what is given."""
    made: list[socket.socket] = []
    host, port = site.removeprefix("http://").split(":")

    def dialled(path: str, body: bytes, *lines: str, length: int | None = None) -> socket.socket:
        made.append(socket.create_connection((host, int(port)), timeout=30))
        head = [f"POST {path} HTTP/1.1", "Host: x", f"Authorization: Bearer {keys['otto']}", *lines]
        announced = [f"Content-Length: {len(body) if length is None else length}"] if length != 0 else []
        made[-1].sendall("\r\n".join([*head, *announced, "", ""]).encode() + body)
        return made[-1]

    yield dialled
    for one in made:
        one.close()


def told(connection: socket.socket) -> tuple[int, dict[str, str], Any]:
    """The one answer on a connection: status, headers, JSON."""
    answer = http.client.HTTPResponse(connection)
    answer.begin()
    headers = {name.lower(): value for name, value in answer.getheaders()}
    return answer.status, headers, json.loads(answer.read())


def words(path: str, body: Any) -> str:
    """The message of an error in the dialect of a path."""
    return str(body["error"]["message"] if path == CHAT else body["error"])


BAD = (
    (b"", 400, "no body"),
    (b"{", 400, "not JSON"),
    (b"[" * 100_000, 400, "not JSON"),
    (b"\xff\xfe", 400, "not JSON"),
    (b"[]", 400, "JSON object"),
    (b'{"messages": "x"}', 400, "list of messages"),
    (b'{"messages": [3]}', 400, "must be an object"),
    (b'{"messages": [{"role": "wizard", "content": "x"}]}', 400, "role 'wizard'"),
    (b'{"messages": [{"role": "user", "content": "x"}], "stream": "yes"}', 400, "stream must be"),
    (b'{"messages": [{"role": "user", "content": "x"}], "model": 3}', 400, "model must be"),
    (
        b'{"messages": [{"role": "user", "content": "x"}], "model": "a\\r\\nSet-Cookie: b"}',
        400,
        "model must be",
    ),
    (b'{"messages": [{"role": "user", "content": "x"}], "model": "nope"}', 404, "not found"),
)


@pytest.mark.parametrize("path", list(PATHS.values()))
def test_bad_requests_are_told_in_the_clients_dialect(dial: Callable[..., socket.socket], path: str) -> None:
    an_engine("fast", dead_url())
    for raw, status, message in BAD:
        found, headers, body = told(dial(path, raw, length=len(raw) or None))
        assert (found, message in words(path, body)) == (status, True), (raw[:60], body)
        assert "set-cookie" not in headers


@pytest.mark.parametrize("path", list(PATHS.values()))
def test_a_picture_of_a_hundred_megabytes_is_refused_and_the_client_gets_to_know_it(
    dial: Callable[..., socket.socket], path: str
) -> None:
    """It sends all of it before it reads: a server that closes at once would reset the answer away."""
    before = psutil.Process().memory_info().rss
    connection = dial(path, b'{"images": ["', length=100 * MIB)
    piece = b"a" * MIB
    with contextlib.suppress(OSError):
        for _ in range(100):
            connection.sendall(piece)
    status, headers, body = told(connection)
    assert (status, headers["connection"]) == (413, "close")
    assert "DPL_MAX_REQUEST_MB" in words(path, body)
    assert psutil.Process().memory_info().rss - before < 30 * MIB


def test_a_body_that_announces_no_length_is_counted(
    dial: Callable[..., socket.socket], settings: Settings
) -> None:
    settings.DPL_MAX_REQUEST_MB = 1
    connection = dial(CHAT, b"", "Transfer-Encoding: chunked", length=0)
    for _ in range(40):
        connection.sendall(b"10000\r\n" + b"a" * 65536 + b"\r\n")
    connection.sendall(b"0\r\n\r\n")
    assert told(connection)[0] == 413


@pytest.mark.parametrize("path", list(PATHS.values()))
def test_half_a_request_is_waited_for_and_then_refused(
    dial: Callable[..., socket.socket], path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attending, "BODY_S", 0.2)
    monkeypatch.setattr(arrival, "FORGET_S", 0.1)
    status, _, body = told(dial(path, b'{"mess', length=1000))
    assert (status, "Send it faster" in words(path, body)) == (408, True)


def test_a_client_that_does_not_read_is_dropped_and_its_engine_freed(
    dial: Callable[..., socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "UNREAD_S", 0.3)
    with engine(models=("m",), dialect="openai", words=1_000_000) as url:
        an_engine("fast", url, kind="openai", slots=1)
        connection = dial(CHAT, json.dumps(asked(stream=True)).encode())
        assert connection.recv(1)
        until(lambda: httpx.get(f"{url}/sim/stats").json()["cancelled"] == 1)


def test_http_1_0_gets_a_whole_answer_and_an_end(
    site: str, keys: dict[str, str], dial: Callable[..., socket.socket]
) -> None:
    with engine(models=("m",), dialect="openai", echo=True) as url:
        an_engine("fast", url, kind="openai")
        raw = json.dumps(asked("say it")).encode()
        host, port = site.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=30) as connection:
            head = (
                f"POST {CHAT} HTTP/1.0\r\nAuthorization: Bearer {keys['otto']}\r\nContent-Length: {len(raw)}"
            )
            connection.sendall(head.encode() + b"\r\n\r\n" + raw)
            status, headers, body = told(connection)
        assert (status, headers["connection"]) == (200, "close")
        assert body["choices"][0]["message"]["content"] == "say it"
