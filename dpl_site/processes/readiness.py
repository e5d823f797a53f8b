"""Asks a local address whether it answers 200, without ever blocking and without an HTTP library."""

from __future__ import annotations

import errno
import selectors
import socket
import time

from dpl_site.processes.spec import READY_URL

ASK_EVERY_S = 0.2
ASK_TIMEOUT_S = 2.0

_UNDER_WAY = {0, errno.EINPROGRESS, errno.EWOULDBLOCK}
_HEAD = len("HTTP/1.1 200")


class Question:
    """One GET: `step()` whenever the socket is ready for `events`, until it says yes or no; then `close`."""

    def __init__(self, url: str) -> None:
        match = READY_URL.fullmatch(url)
        if match is None:
            raise ValueError(f"not an address to ask: {url!r}")
        host, port, path = match.groups()
        address = {"localhost": "127.0.0.1"}.get(host, host.strip("[]"))
        head = f"GET {path or '/'} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n"
        self._request = head.encode()
        self._answer = b""
        self.events = selectors.EVENT_WRITE
        self.socket = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
        self.socket.setblocking(False)
        self.is_refused = self.socket.connect_ex((address, int(port))) not in _UNDER_WAY

    def step(self) -> bool | None:
        """True: it answers 200; False: it does not; None: not known yet."""
        try:
            return self._send() if self.events == selectors.EVENT_WRITE else self._receive()
        except BlockingIOError:
            return None
        except OSError:
            return False

    def close(self) -> None:
        """Let the socket go; the selector must have forgotten it before."""
        self.socket.close()

    def _send(self) -> bool | None:
        if self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            return False
        self.socket.sendall(self._request)
        self.events = selectors.EVENT_READ
        return None

    def _receive(self) -> bool | None:
        data = self.socket.recv(256)
        self._answer += data
        if data and len(self._answer) < _HEAD:
            return None
        return self._answer.startswith(b"HTTP/") and self._answer[_HEAD - 3 : _HEAD] == b"200"


class Readiness:
    """Whether a child is ready: its address is asked every now and then until it has answered 200 once."""

    def __init__(self, url: str, selector: selectors.BaseSelector) -> None:
        self.is_ready = not url
        self._url = url
        self._selector = selector
        self._question: Question | None = None
        self._next_at = 0.0

    @property
    def due(self) -> float | None:
        """When `tend` has something to do again; None when it never has."""
        return None if self.is_ready else self._next_at

    def tend(self, now: float) -> None:
        """Ask when it is time; an older question that got no answer is dropped."""
        if self.is_ready or now < self._next_at:
            return
        self.close()
        question = Question(self._url)
        self._next_at = now + (ASK_EVERY_S if question.is_refused else ASK_TIMEOUT_S)
        if question.is_refused:
            question.close()
            return
        self._question = question
        self._selector.register(question.socket, question.events, self._on_socket)

    def close(self) -> None:
        """Drop the question that is being asked, if any."""
        if self._question:
            self._selector.unregister(self._question.socket)
            self._question.close()
            self._question = None

    def _on_socket(self) -> None:
        if self._question is None:  # dropped in the same turn of the loop
            return
        answer = self._question.step()
        if answer is None:
            self._selector.modify(self._question.socket, self._question.events, self._on_socket)
            return
        self.close()
        self.is_ready = answer
        self._next_at = time.monotonic() + ASK_EVERY_S
