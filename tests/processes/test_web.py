"""The web process: bound, watched and stopped by us."""

from __future__ import annotations

import asyncio
import http.client
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address
from pathlib import Path

import pytest
import uvloop
from pytest_django import Settings

from dpl_site.processes.ports import free_port
from dpl_site.processes.refusal import CannotStart
from dpl_site.processes.web import Server, configuration, listen, serve, url_of
from nodes.instances import alive
from tests.processes.site_process import SiteProcess
from tests.processes.supervised import wait_until

Web = Callable[..., tuple[SiteProcess, int]]


@pytest.fixture
def web(transactional_db: None) -> Iterator[Web]:
    """Starts `manage.py web` on a free port, and waits until it answers."""
    started: list[SiteProcess] = []

    def begin(**env: str) -> tuple[SiteProcess, int]:
        port = free_port(0)
        started.append(SiteProcess("web", "--port", str(port), env=env))
        wait_until(lambda: status(port) == 200)
        return started[-1], port

    yield begin
    for process in started:
        process.close()


def ask(port: int, path: str = "/health", method: str = "GET", body: bytes = b"") -> http.client.HTTPResponse:
    """One answer."""
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        client.request(method, path, body)
        answer = client.getresponse()
        answer.read()
        return answer
    finally:
        client.close()


def status(port: int, path: str = "/health") -> int:
    """The status of an answer, 0 while nobody listens."""
    try:
        return ask(port, path).status
    except OSError:
        return 0


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:80"),
        (str(IPv4Address(0)), "http://127.0.0.1:80"),
        ("::", "http://[::1]:80"),
        ("fd00::1", "http://[fd00::1]:80"),
        ("box.lan", "http://box.lan:80"),
    ],
)
def test_it_says_the_address_to_open(host: str, url: str) -> None:
    assert url_of(host, 80) == url


def test_a_port_that_is_in_use_is_named_with_the_flag_that_changes_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(CannotStart, match=rf"Port {port} is in use.*--port") as refused:
            listen("127.0.0.1", port)
    assert refused.value.returncode == 78


def test_an_address_of_another_machine_is_refused_in_words() -> None:
    with pytest.raises(CannotStart, match=r"192\.0\.2\.1 is not an address of this machine.*--host"):
        listen("192.0.2.1", free_port(0))


def test_headers_of_proxies_count_only_when_these_are_listed(settings: Settings) -> None:
    assert not configuration().proxy_headers
    settings.DPL_TRUSTED_PROXIES = ["10.0.0.1"]
    assert configuration().proxy_headers
    assert configuration().forwarded_allow_ips == ["10.0.0.1"]


@pytest.mark.django_db(transaction=True)
def test_it_serves_is_present_and_ends_in_order(web: Web) -> None:
    process, port = web()
    answer = ask(port)
    assert "server" not in {name.lower() for name in answer.headers}
    assert status(port, "/ready") == 503
    assert ask(port, "/login/", "POST", b"x" * (33 * 2**20)).status == 413
    wait_until(lambda: alive().filter(kind="web", pid=process.pid).exists())
    with socket.create_connection(("127.0.0.1", port)):  # a client that says nothing holds nobody up
        began = time.monotonic()
        assert process.stop(signal.SIGTERM) == 0
    assert time.monotonic() - began < 6
    assert not alive().exists()
    assert "Traceback" not in process.output
    assert "ERROR" not in process.output


def be_busy(seconds: float) -> None:
    """Hold the event loop up, as many requests do."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        continue


def test_many_new_clients_are_taken_in_one_turn_of_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """By real sockets: each turn of this loop lasts 50 ms, and 30 clients would else wait for as many turns."""
    taken: list[float] = []

    class Client(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            taken.append(time.monotonic())
            transport.close()

    async def take(sockets: list[socket.socket]) -> None:
        loop = asyncio.get_running_loop()
        servers = [await loop.create_server(Client, sock=one) for one in sockets]
        clients = [socket.create_connection(sockets[0].getsockname()) for _ in range(30)]
        while len(taken) < len(clients):
            await asyncio.sleep(0)
            be_busy(0.05)
        for server in servers:
            server.close()
        for client in clients:
            client.close()

    monkeypatch.setattr(Server, "run", lambda self, sockets: uvloop.run(take(sockets)))
    serve("127.0.0.1", 0)
    turns = {round((at - taken[0]) / 0.05) for at in taken}
    assert len(turns) <= 4


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_a_request_that_runs_is_finished_before_the_end(web: Web) -> None:
    process, port = web()
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    client.putrequest("POST", "/login/")
    client.putheader("Content-Length", "4")
    client.endheaders(b"ab")
    time.sleep(0.2)
    ending = threading.Thread(target=process.stop)
    ending.start()
    time.sleep(0.5)
    client.send(b"cd")
    assert client.getresponse().status in (200, 403)
    client.close()
    ending.join()


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_it_ends_with_its_parent(web: Web) -> None:
    process, _ = web()
    process.let_go()
    assert process.end() == 0


@pytest.mark.slow
def test_it_refuses_a_database_that_is_not_its_own(tmp_path: Path) -> None:
    process = SiteProcess("web", "--port", "0", env={"DATABASE_URL": f"sqlite:///{tmp_path}/empty.sqlite3"})
    assert process.end() == 78
    process.close()
    assert "manage.py up" in process.output
