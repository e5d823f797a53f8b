"""One kept connection to the server: JSON posted over it, TLS checked or pinned, each question within its time."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Mapping
from urllib.parse import urlsplit

from agent.wire import HEAD_END, WireError, body_length, is_chunked, parse_answer, parse_headers

MAX_ANSWER = 256 * 1024


class PinError(OSError):
    """The server's certificate is not the one that was pinned."""


class Link:
    """A connection that is opened when it is needed and kept while both sides want it. For one thread.

    A kept connection that turns out to be dead before the answer began is opened anew, once: servers close
    idle ones without a word. So a question may reach the server twice.
    """

    def __init__(self, base_url: str, *, timeout_s: float, pin: str | None = None) -> None:
        self._parts = urlsplit(base_url)
        self._timeout_s = timeout_s
        self._pin = pin
        self._connection: socket.socket | None = None

    def post(self, path: str, body: bytes, headers: Mapping[str, str] | None = None) -> tuple[int, bytes]:
        """The status and the body of the server's answer to a JSON body.

        Raises TimeoutError past the time limit, OSError when nobody answers (PinError: somebody else does) and
        WireError when the answer is not HTTP or has more than MAX_ANSWER bytes. Redirects are not followed.
        """
        lines = [
            f"POST {self._parts.path.rstrip('/')}{path} HTTP/1.1",
            f"Host: {self._parts.netloc}",
            "Content-Type: application/json",
            "Accept: application/json",
            f"Content-Length: {len(body)}",
            *(f"{name}: {value}" for name, value in (headers or {}).items()),
        ]
        request = "\r\n".join(lines).encode("latin-1") + HEAD_END + body
        deadline = time.monotonic() + self._timeout_s
        was_kept = self._connection is not None
        try:
            return self._exchange(request, deadline)
        except (ConnectionError, _NoAnswerError):
            self.close()
            if not was_kept:
                raise
            return self._exchange(request, deadline)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let go of the connection; the next question opens another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(OSError):
                connection.close()

    def _exchange(self, request: bytes, deadline: float) -> tuple[int, bytes]:
        if self._connection is None:
            self._connection = self._open()
        connection = self._connection
        connection.settimeout(_left(deadline))
        connection.sendall(request)
        raw = bytearray()
        while not (end := _end(raw)):
            connection.settimeout(_left(deadline))
            data = connection.recv(64 * 1024)
            if not data:
                self.close()
                if not raw:
                    raise _NoAnswerError("the server closed the connection without an answer")
                return parse_answer(bytes(raw))
            raw += data
            if len(raw) > MAX_ANSWER:
                raise WireError(502, "the answer is too long")
        if b"\r\nconnection: close" in bytes(raw[:end]).lower():
            self.close()
        return parse_answer(bytes(raw))

    def _open(self) -> socket.socket:
        secure = self._parts.scheme == "https"
        host = self._parts.hostname or ""
        plain = socket.create_connection((host, self._parts.port or (443 if secure else 80)), self._timeout_s)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if not secure:
            return plain
        try:
            return _secured(plain, host, self._pin)
        except BaseException:
            plain.close()
            raise


class _NoAnswerError(OSError):
    """The other side ended the connection before it said anything."""


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("the server did not answer in time")
    return left


def _end(raw: bytearray) -> int:
    """Where the head of a whole answer ends, 0 while it is not whole; only its end tells of one without a length."""
    end = raw.find(HEAD_END)
    if end < 0:
        return 0
    headers = parse_headers(bytes(raw[:end]))
    body = len(raw) - end - len(HEAD_END)
    if is_chunked(headers):
        return end if raw.endswith(b"0\r\n\r\n") else 0
    if "content-length" in headers:
        return end if body >= body_length(headers) else 0
    return end if raw.startswith((b"HTTP/1.1 204", b"HTTP/1.1 304")) else 0


def _secured(plain: socket.socket, host: str, pin: str | None) -> socket.socket:
    # Imported here, as both weigh megabytes and a server in the same network often speaks plain HTTP.
    import hashlib
    import ssl

    context = ssl.create_default_context()
    if pin is not None:
        # The pin says which certificate it must be, so nobody else needs to vouch for it.
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    secured = context.wrap_socket(plain, server_hostname=host)
    if pin is not None:
        shown = hashlib.sha256(secured.getpeercert(binary_form=True) or b"").hexdigest()
        if shown != pin:
            secured.close()
            raise PinError(f"the server's certificate has the SHA-256 {shown}, not the pinned one")
    return secured
