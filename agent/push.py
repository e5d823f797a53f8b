"""Tells the server how this machine is, where the server cannot ask: readings out, the lock back."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from agent.clock import Clock, iso, steady
from agent.lock import MAX_TTL_S, MIN_TTL_S, Claim, NodeLock
from agent.outbox import Outbox
from agent.sampling import Loop
from agent.wire import WireError

PUSH_PATH = "/api/v1/agents/push"
FIRST_RETRY_S = 1.0
LONGEST_RETRY_S = 30.0
# How often the server is asked again that took this node away.
REMOVED_RETRY_S = 300.0
TIMEOUT_S = 10.0
# Longer ones would be taken for a gap by the rates.
SHORTEST_INTERVAL_S, LONGEST_INTERVAL_S = 0.5, 20.0
_TURNED_AWAY = {401, 403}

log = logging.getLogger("agent")


class Poster(Protocol):
    """What the pusher needs of a connection: `agent.link.Link`."""

    def post(self, path: str, body: bytes, headers: Mapping[str, str] | None = None) -> tuple[int, bytes]:
        """The status and the body of the server's answer."""


class Pusher:
    """Sends readings from the outbox and applies what the answers say.

    Guarantee: each reading arrives at least once and in order, unless it was dropped from a full outbox (ten
    minutes of them, the oldest first, which is logged). A server that is away is tried again after 1 s, then
    twice as long up to 30 s; one that removed this node every 5 minutes, and nothing is kept meanwhile. Runs in
    a thread of its own; measuring never waits for it. Writes no rows. On kill -9 the readings that had not
    arrived are lost, and the lock that the server had put here ends.
    """

    def __init__(
        self,
        *,
        link: Poster,
        token: str,
        lock: NodeLock,
        status: Callable[[], Mapping[str, Any]],
        set_interval: Callable[[float], None] = lambda _: None,
        outbox: Outbox | None = None,
        clock: Clock = steady,
    ) -> None:
        self._link, self._token, self._lock, self._status = link, token, lock, status
        self._set_interval = set_interval
        self._outbox = Outbox() if outbox is None else outbox
        self._clock = clock
        self._next_at = 0.0
        self._retry_s = FIRST_RETRY_S
        self._trouble = ""
        self._dropped = 0
        self._applied: str | None = None
        self.is_removed = False

    def collect(self) -> None:
        """Put the reading of this moment into the outbox; called after each sample."""
        if self.is_removed:
            return
        self._outbox.put(json.dumps(self._status(), separators=(",", ":")).encode())
        if self._outbox.dropped > self._dropped:
            if self._dropped == 0:
                log.warning("push: the server has been away too long; the oldest readings are dropped")
            self._dropped = self._outbox.dropped

    def step(self) -> float:
        """Send once, if it is time and there is something; returns the seconds to wait before the next."""
        left = self._next_at - self._clock()
        if left > 0:
            return min(left, 1.0)
        if self.is_removed:
            # Only a reading can ask whether the node is back.
            self.is_removed = False
            self.collect()
        if not self._outbox.wait(1.0):
            return 0.0
        last, readings = self._outbox.batch()
        try:
            status, answer = self._link.post(PUSH_PATH, self._body(readings), self._headers())
        except (OSError, WireError) as error:
            self._later(f"the server does not answer: {error}")
            return 0.0
        self._take(last, status, answer)
        return 0.0

    def start(self, stop: threading.Event) -> None:
        """Step in a thread until the event is set."""
        Loop("push", self.step, stop, LONGEST_RETRY_S).start()

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._token}"}

    def _body(self, readings: list[bytes]) -> bytes:
        return b'{"sent_at":"%s","readings":[%s]}' % (iso(time.time()).encode(), b",".join(readings))

    def _take(self, last: int, status: int, answer: bytes) -> None:
        if status == 200:
            self._outbox.confirm(last)
            self._retry_s, self._dropped = FIRST_RETRY_S, self._outbox.dropped
            if self._trouble:
                log.info("push: the server answers again")
            self._trouble = ""
            self._apply(_object(answer))
        elif status in _TURNED_AWAY:
            self._turned_away(status, answer)
        elif status == 413:
            self._outbox.too_large()
            self._later("the server takes the readings for too large; fewer are sent at once")
        else:
            self._later(f"the server answers with status {status}: {told_error(answer)[1]}")

    def _turned_away(self, status: int, answer: bytes) -> None:
        code, message = told_error(answer)
        if code == "node_removed":
            message = "this node was removed there; add it again and join with a new token"
            self.is_removed = True
            self._outbox.clear()
        self._say(f"the server refuses this agent ({status}): {message}")
        self._next_at = self._clock() + REMOVED_RETRY_S
        self._release_applied()

    def _later(self, trouble: str) -> None:
        self._say(trouble)
        self._next_at = self._clock() + self._retry_s
        self._retry_s = min(LONGEST_RETRY_S, self._retry_s * 2)

    def _say(self, trouble: str) -> None:
        if trouble != self._trouble:
            log.warning("push: %s", trouble)
        self._trouble = trouble

    def _apply(self, told: Mapping[str, Any]) -> None:
        interval = told.get("interval_s")
        if isinstance(interval, int | float) and not isinstance(interval, bool):
            self._set_interval(min(LONGEST_INTERVAL_S, max(SHORTEST_INTERVAL_S, float(interval))))
        if "lock" not in told:
            return
        claim = claim_of(told["lock"])
        if self._applied is not None and (claim is None or claim.id != self._applied):
            self._release_applied()
        if claim is not None and self._lock.acquire(claim).granted:
            self._applied = claim.id

    def _release_applied(self) -> None:
        applied, self._applied = self._applied, None
        if applied is not None:
            self._lock.release(applied)


def claim_of(told: Any) -> Claim | None:
    """The lock that the server wants here; None when it wants none, or tells of one that makes no sense."""
    if not isinstance(told, dict) or not isinstance(told.get("id"), str) or not told["id"]:
        return None
    texts = {
        name: told[name][:1000] if isinstance(told.get(name), str) else None
        for name in ("owner", "installation", "reason")
    }
    ttl = told.get("ttl_s")
    if isinstance(ttl, bool) or not isinstance(ttl, int | float):
        ttl = MIN_TTL_S
    seconds = min(MAX_TTL_S, max(MIN_TTL_S, float(ttl)))
    return Claim(id=told["id"][:200], caller="the server", ttl_s=seconds, **texts)


def told_error(answer: bytes) -> tuple[str, str]:
    """The code and the message of an error in the server's shape; "" and what it looks like otherwise."""
    error = _object(answer).get("error")
    if not isinstance(error, dict):
        looks = "a web page" if answer.lstrip()[:1] == b"<" else "no error of DPL's"
        return "", looks
    return str(error.get("code") or "")[:100], str(error.get("message") or "")[:300]


def _object(answer: bytes) -> Mapping[str, Any]:
    try:
        told = json.loads(answer)
    except (ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}
