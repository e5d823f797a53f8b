"""One GET to the engine on this machine, within a time limit that counts for the whole of it."""

from __future__ import annotations

import socket
import time
from urllib.parse import urlsplit

from agent.wire import HEAD_END, WireError, parse_answer

MAX_ANSWER = 4 * 1024 * 1024


def get(url: str, *, timeout_s: float) -> tuple[int, bytes]:
    """The status and the body of what `url` answers.

    Raises TimeoutError after `timeout_s` seconds, OSError when nobody listens or the connection breaks, and
    WireError when the answer is not HTTP or has more than MAX_ANSWER bytes.
    """
    parts = urlsplit(url)
    deadline = time.monotonic() + timeout_s
    default_port = 443 if parts.scheme == "https" else 80
    with socket.create_connection((parts.hostname or "", parts.port or default_port), timeout_s) as plain:
        connection = _secured(plain, parts.hostname or "") if parts.scheme == "https" else plain
        # HTTP/1.0, so that the answer ends with the connection.
        lines = [f"GET {parts.path or '/'} HTTP/1.0", f"Host: {parts.netloc}", "Accept: application/json"]
        connection.sendall("\r\n".join(lines).encode() + HEAD_END)
        return parse_answer(_read_to_end(connection, deadline))


def _read_to_end(connection: socket.socket, deadline: float) -> bytes:
    raw = bytearray()
    while not _is_whole(raw):
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the engine did not answer in time")
        connection.settimeout(left)
        data = connection.recv(64 * 1024)
        if not data:
            break
        raw += data
        if len(raw) > MAX_ANSWER:
            raise WireError(502, "the answer is too long")
    return bytes(raw)


def _is_whole(raw: bytearray) -> bool:
    """Whether an answer that tells its length is complete: not every engine closes after HTTP/1.0."""
    head, found, body = raw.partition(HEAD_END)
    if not found:
        return False
    for line in head.lower().split(b"\r\n")[1:]:
        if line.startswith(b"content-length:") and line[15:].strip().isdigit():
            return len(body) >= int(line[15:])
    return False


def _secured(plain: socket.socket, host: str) -> socket.socket:
    # Imported here, as it weighs megabytes and hardly any engine on its own machine speaks TLS.
    import ssl

    return ssl.create_default_context().wrap_socket(plain, server_hostname=host)
