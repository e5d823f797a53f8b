"""How the tests speak HTTP: whole answers by the standard library's client, and single bytes by a socket."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Answer:
    """A whole answer; header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    def lines(self) -> list[Any]:
        """The records of an NDJSON body."""
        return [json.loads(line) for line in self.body.splitlines()]

    def events(self) -> list[Any]:
        """The events of an SSE body; `[DONE]` stays a string."""
        parts = [part.removeprefix(b"data: ") for part in self.body.split(b"\n\n") if part]
        return [part.decode() if part == b"[DONE]" else json.loads(part) for part in parts]


def ask(
    url: str,
    path: str,
    body: object = None,
    *,
    method: str | None = None,
    headers: Mapping[str, str] | None = None,
    timeout_s: float = 5,
) -> Answer:
    """Ask once; a body makes it a POST, and one that is not bytes is sent as JSON."""
    raw = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=timeout_s)
    try:
        connection.request(method or ("GET" if raw is None else "POST"), path, raw, dict(headers or {}))
        answer = connection.getresponse()
        found = {name.lower(): value for name, value in answer.getheaders()}
        return Answer(answer.status, found, answer.read())
    finally:
        connection.close()


@contextmanager
def dialled(url: str, sent: bytes, *, timeout_s: float = 5) -> Iterator[socket.socket]:
    """A bare connection on which something was sent."""
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout_s) as connection:
        connection.sendall(sent)
        yield connection


def to_end(connection: socket.socket) -> bytes:
    """Everything until the other side ends; ConnectionResetError where it does so rudely."""
    parts = []
    while data := connection.recv(65536):
        parts.append(data)
    return b"".join(parts)


def post(path: str, body: object, *more: str) -> bytes:
    """A POST as bytes, `more` being further header lines."""
    raw = json.dumps(body).encode()
    lines = [f"POST {path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {len(raw)}", *more]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + raw
