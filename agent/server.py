"""The agent's HTTP server: threads, limits and JSON on the wire. What is answered stands in `application`."""

from __future__ import annotations

import json
import logging
import os
import socket
import socketserver
import sys
import threading
import time
from typing import Any

from agent import __version__
from agent.application import Application, Reply, Request, error_reply
from agent.wire import (
    HEAD_END,
    MAX_HEAD,
    Head,
    WireError,
    body_length,
    http_date,
    is_chunked,
    parse_head,
    status_line,
)

MAX_BODY = 64 * 1024
MAX_CONNECTIONS = 64
# How long a connection may wait for its next request, and a request take to arrive or its reply to leave.
IDLE_S = 60.0
REQUEST_S = 10.0

log = logging.getLogger("agent")


class AgentServer(socketserver.ThreadingTCPServer):
    """Serves one Application, a daemon thread per connection and MAX_CONNECTIONS of them at most."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 64
    # On Windows this option would let a second program take the same port.
    allow_reuse_address = os.name == "posix"

    def __init__(self, host: str, port: int, application: Application) -> None:
        self.application = application
        self._room = threading.BoundedSemaphore(MAX_CONNECTIONS)
        if ":" in host:
            self.address_family = socket.AF_INET6
        super().__init__((host.strip("[]"), port), Conversation)

    @property
    def url(self) -> str:
        """Where it listens, as people write it."""
        host, port = self.socket.getsockname()[:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    @property
    def port(self) -> int:
        """The port on which it listens."""
        return int(self.socket.getsockname()[1])

    def process_request(self, request: Any, client_address: Any) -> None:
        """Start the connection's thread, or turn it away when there are too many."""
        if not self._room.acquire(blocking=False):
            log.warning("more than %d connections at once; one was turned away", MAX_CONNECTIONS)
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve one connection and give its place back."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A caller that went away or fell silent is no news; anything else is logged with its trace."""
        if not isinstance(sys.exception(), OSError):
            log.exception("a request failed")


class Conversation(socketserver.BaseRequestHandler):
    """Reads one request after the other from a connection and writes JSON back."""

    server: AgentServer

    def setup(self) -> None:
        """Small answers leave at once."""
        self._socket: socket.socket = self.request
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = b""
        self._deadline = 0.0

    def handle(self) -> None:
        """Requests until the caller has no more, asks for the end or breaks the rules."""
        goes_on = True
        while goes_on:
            try:
                goes_on = self._serve_one()
            except WireError as error:
                self._write(error_reply(error.status, "bad_request", str(error)), keeps_alive=False)
                goes_on = False

    def _serve_one(self) -> bool:
        raw = self._read_head()
        if raw is None:
            return False
        head = parse_head(raw)
        body = self._read_body(head)
        reply = self.server.application.answer(
            Request(
                method=head.method,
                path=head.path,
                caller=str(self.client_address[0]).removeprefix("::ffff:"),
                authorization=head.headers.get("authorization", ""),
                host=head.headers.get("host", ""),
                origin=head.headers.get("origin", ""),
                body=body,
            )
        )
        self._write(reply, keeps_alive=head.keeps_alive, has_body=head.method != "HEAD")
        return head.keeps_alive

    def _read_head(self) -> bytes | None:
        """The next request's head, None when the caller has no more to ask."""
        self._deadline = time.monotonic() + (REQUEST_S if self._buffer else IDLE_S)
        while HEAD_END not in self._buffer:
            if len(self._buffer) > MAX_HEAD:
                raise WireError(431, "the request's headers are too long")
            was_idle = not self._buffer
            if not self._receive():
                return None
            if was_idle:
                self._deadline = time.monotonic() + REQUEST_S
        head, _, self._buffer = self._buffer.partition(HEAD_END)
        return head

    def _read_body(self, head: Head) -> bytes:
        if is_chunked(head.headers):
            raise WireError(411, "send the body with a Content-Length, not in chunks")
        length = body_length(head.headers)
        if length > MAX_BODY:
            raise WireError(413, f"the body may have {MAX_BODY} bytes at most")
        if length and head.headers.get("expect", "").lower() == "100-continue":
            self._socket.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        while len(self._buffer) < length:
            if not self._receive():
                raise ConnectionResetError("the caller went away within its request")
        body, self._buffer = self._buffer[:length], self._buffer[length:]
        return body

    def _receive(self) -> bool:
        """Take what has come, False at the caller's end. TimeoutError, an OSError, past the deadline."""
        self._socket.settimeout(max(0.001, self._deadline - time.monotonic()))
        data = self._socket.recv(64 * 1024)
        self._buffer += data
        return bool(data)

    def _write(self, reply: Reply, *, keeps_alive: bool, has_body: bool = True) -> None:
        text = json.dumps(reply.body, separators=(",", ":")) if reply.text is None else reply.text
        body = text.encode("utf-8", "replace")
        headers = {
            "Server": f"dpl-agent/{__version__}",
            "Date": http_date(),
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
            **reply.headers,
            "Connection": "keep-alive" if keeps_alive else "close",
        }
        lines = [status_line(reply.status), *(f"{name}: {value}" for name, value in headers.items())]
        self._socket.settimeout(REQUEST_S)
        head = "\r\n".join(lines).encode("latin-1") + HEAD_END
        self._socket.sendall(head + body if has_body else head)
