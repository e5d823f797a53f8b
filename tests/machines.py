"""Real machines on loopback, each on a free port: agents, engines, and things that are neither."""

from __future__ import annotations

import asyncio
import atexit
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from agent.application import Application, Request
from agent.identity import Identity
from agent.sampling import Board
from agent.server import AgentServer
from agent.simulator.options import Options
from agent.simulator.service import Simulator


@dataclass
class Asked:
    """One request that a server got."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    port: int


@dataclass
class Said:
    """What it answers; `after_s` is how long it thinks first, `skew_s` how wrong its clock is.

    One that `hangs_up` closes the connection instead.
    """

    body: bytes | str | dict[str, Any] = b""
    status: int = 200
    kind: str = "application/json"
    after_s: float = 0.0
    skew_s: float = 0.0
    hangs_up: bool = False


@dataclass
class Server:
    """A running server: its address and what it was asked."""

    url: str
    asked: list[Asked] = field(default_factory=list)

    def paths(self) -> list[str]:
        """The paths that were asked for, in order."""
        return [one.path for one in self.asked]


@contextmanager
def serving(answer: Callable[[Asked], Said]) -> Iterator[Server]:
    """An HTTP server that answers as it is told; when it is left, it ends even while it thinks."""
    ended = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        skew_s = 0.0

        def _serve(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length)
            asked = Asked(self.command, self.path, dict(self.headers), body, self.client_address[1])
            running.asked.append(asked)
            said = answer(asked)
            if said.after_s:
                ended.wait(said.after_s)
            self.close_connection = self.close_connection or said.hangs_up
            if not ended.is_set() and not said.hangs_up:
                self._say(said)

        def _say(self, said: Said) -> None:
            body = json.dumps(said.body) if isinstance(said.body, dict) else said.body
            raw = body.encode() if isinstance(body, str) else body
            self.skew_s = said.skew_s
            try:
                self.send_response(said.status)
                self.send_header("Content-Type", said.kind)
                self.send_header("Content-Length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)
            except OSError:
                self.close_connection = True

        do_GET = do_POST = do_HEAD = _serve

        def date_time_string(self, timestamp: float | None = None) -> str:
            return super().date_time_string((timestamp or time.time()) + self.skew_s)

        def log_message(self, format: str, *args: object) -> None:
            return None

    server = _quiet(ThreadingHTTPServer)(("127.0.0.1", 0), Handler)
    running = Server(f"http://127.0.0.1:{server.server_address[1]}")
    with _running(server):
        yield running
        ended.set()


@dataclass
class RunningAgent:
    """A real agent: its address, and the application inside to look at."""

    url: str
    application: Application
    token: str

    def lock(self) -> dict[str, Any] | None:
        """The lock that stands on it, as it tells."""
        reply = self.application.answer(Request("GET", "/status", "127.0.0.1", f"Bearer {self.token}"))
        told: Any = reply.body["lock"]
        return dict(told) if told else None


@contextmanager
def agent(*, token: str | None = None) -> Iterator[RunningAgent]:
    """The agent's own server, without its sampling threads."""
    identity = Identity(hostname="box", os="Linux", boot_id="1", cpu_model="CPU", logical_cores=8)
    application = Application(identity=identity, board=Board(), token=token)
    server = _quiet(AgentServer)("127.0.0.1", 0, application)
    with _running(server):
        yield RunningAgent(server.url, application, token or "")


@contextmanager
def engine(**options: Any) -> Iterator[str]:
    """A simulated engine (`Options` of the simulator), on a loop of its own; gives its address."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    simulator = Simulator(Options(**options))
    asyncio.run_coroutine_threadsafe(simulator.start(), loop).result(5)
    try:
        yield simulator.url
    finally:
        asyncio.run_coroutine_threadsafe(simulator.stop(), loop).result(5)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


_dead: list[socket.socket] = []


def dead_url() -> str:
    """An address where nothing listens, and nothing will: its port stays taken until the tests end."""
    found = socket.socket()
    found.bind(("127.0.0.1", 0))
    _dead.append(found)
    return f"http://127.0.0.1:{found.getsockname()[1]}"


@atexit.register
def _let_go() -> None:
    for taken in _dead:
        taken.close()


@contextmanager
def _running(server: ThreadingHTTPServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _quiet(kind: Any) -> Any:
    """The server class, but it ends without waiting for its connections and is silent when they break.

    Its own queue of five is overrun by one look at an engine; Linux then lets a connection wait a second.
    """
    mild = {
        "daemon_threads": True,
        "block_on_close": False,
        "request_queue_size": 64,
        "handle_error": lambda *_: None,
    }
    return type(kind.__name__, (kind,), mild)
