"""Servers of the standard library that messages are really sent to: one for mail, one for webhooks."""

from __future__ import annotations

import json
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class WebhookReceiver(ThreadingHTTPServer):
    """Takes every POST; `status` and `location` are what it answers from now on."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Webhook)
        self.taken: list[tuple[str, Any]] = []
        self.status, self.location = 200, ""

    @property
    def url(self) -> str:
        """Its address, as Apprise has it."""
        return f"json://127.0.0.1:{self.server_port}/hook"


class _Webhook(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        """Take it."""
        server = self.server
        assert isinstance(server, WebhookReceiver)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        server.taken.append((self.path, json.loads(body)))
        self.send_response(server.status)
        if server.location:
            self.send_header("Location", server.location)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


class MailReceiver(socketserver.ThreadingTCPServer):
    """A plain SMTP server; `taken` are (sender, recipients, the message as it came)."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Mail)
        self.taken: list[tuple[str, list[str], str]] = []

    @property
    def url(self) -> str:
        """Its address, as Apprise has it."""
        port = self.server_address[1]
        return f"mailto://127.0.0.1:{port}/?from=dpl@example.org&to=ada@example.org&mode=insecure"


class _Mail(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        """One conversation of RFC 5321, without extensions."""
        sender, recipients = "", []
        self._say("220 receiver")
        while line := self.rfile.readline().decode().rstrip("\r\n"):
            verb = line[:4].upper()
            if verb == "MAIL":
                sender = line[10:]
            elif verb == "RCPT":
                recipients.append(line[8:])
            elif verb == "DATA":
                self._say("354 go on")
                self._take(sender, recipients)
            self._say("221 bye" if verb == "QUIT" else "250 well")
            if verb == "QUIT":
                return

    def _take(self, sender: str, recipients: list[str]) -> None:
        lines = []
        while (line := self.rfile.readline().decode().rstrip("\r\n")) != ".":
            lines.append(line)
        server = self.server
        assert isinstance(server, MailReceiver)
        server.taken.append((sender, recipients, "\n".join(lines)))

    def _say(self, text: str) -> None:
        self.wfile.write(f"{text}\r\n".encode())


@contextmanager
def running(server: socketserver.BaseServer) -> Iterator[None]:
    """The server in a thread of its own, until the end of the block."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def silent_port() -> Iterator[int]:
    """A port where somebody listens and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]
