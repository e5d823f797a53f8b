"""What each path answers: the agent's endpoints, knowing requests and replies but no sockets."""

from __future__ import annotations

import time

# What `hmac` offers under a public name; importing hmac would load OpenSSL, 4 MB, for this alone.
from _operator import _compare_digest as compare_digest
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

from agent.claims import BadRequestError, parse_body, parse_claim, parse_release
from agent.clock import Clock, steady
from agent.exposition import CONTENT_TYPE, exposition
from agent.flowline import info_payload
from agent.identity import Identity
from agent.lock import NodeLock, Verdict
from agent.payloads import StatusPayload
from agent.sampling import Board
from agent.status import lock_payload, status_payload

Json = Mapping[str, object]

_THIS_MACHINE = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True)
class Request:
    """One HTTP request, read whole. `path` is without the query; the last but `body` are headers as they came."""

    method: str
    path: str
    caller: str
    authorization: str
    body: bytes = b""
    host: str = ""
    origin: str = ""


@dataclass(frozen=True)
class Reply:
    """What goes back: a status, a JSON body, further headers. A `text` goes in the body's place."""

    status: int
    body: Json
    headers: Mapping[str, str] = field(default_factory=dict)
    text: str | None = None


@dataclass(frozen=True)
class _Route:
    method: str
    answer: Callable[[Request], Reply]
    is_open: bool = False


class Application:
    """Answers requests from the board and the lock. Any number of threads may ask at once."""

    def __init__(
        self,
        *,
        identity: Identity,
        board: Board,
        token: str | None,
        model: str | None = None,
        clock: Clock = steady,
        lock: NodeLock | None = None,
        cors_origins: Set[str] = frozenset(),
    ) -> None:
        self._identity = identity
        self._board = board
        self._token = token
        self._model = model
        self._clock = clock
        self._lock = lock or NodeLock(clock)
        self._cors_origins = cors_origins
        self._routes = {
            "/status": _Route("GET", self._status),
            "/lock": _Route("POST", self._acquire),
            "/unlock": _Route("POST", self._release),
            "/metrics": _Route("GET", self._metrics),
            "/api/info": _Route("GET", self._info),
            "/api/health": _Route("GET", _health, is_open=True),
        }

    def set_token(self, token: str) -> None:
        """Ask callers for this token from now on."""
        self._token = token

    def status(self) -> StatusPayload:
        """What this machine says of itself now."""
        lock = lock_payload(self._lock.current(), self._clock)
        return status_payload(identity=self._identity, board=self._board, lock=lock, model=self._model)

    def answer(self, request: Request) -> Reply:
        """The reply to any request; never raises for what a caller sends."""
        may_read = request.origin in self._cors_origins
        reply = (
            self._preflight(request) if request.method == "OPTIONS" and may_read else self._answer(request)
        )
        if not may_read:
            return reply
        allowed = {"Access-Control-Allow-Origin": request.origin, "Vary": "Origin"}
        return replace(reply, headers={**reply.headers, **allowed})

    def _answer(self, request: Request) -> Reply:
        route = self._routes.get(request.path)
        if route is None:
            paths = ", ".join(sorted(self._routes))
            return error_reply(404, "not_found", f"there is no {request.path} here; there are {paths}")
        if self._token is None and self._is_from_a_page(request, route):
            return error_reply(
                403, "forbidden", "an agent without a token answers no web pages; set DPL_AGENT_TOKEN"
            )
        if not route.is_open and not self._may(request):
            return error_reply(
                401,
                "unauthorized",
                "this agent wants its token: send 'Authorization: Bearer <DPL_AGENT_TOKEN>'",
                {"WWW-Authenticate": "Bearer"},
            )
        if request.method != route.method and not (request.method == "HEAD" and route.method == "GET"):
            allowed = {"Allow": "GET, HEAD" if route.method == "GET" else route.method}
            return error_reply(
                405, "method_not_allowed", f"{request.path} takes {route.method} only", allowed
            )
        try:
            return route.answer(request)
        except BadRequestError as error:
            return error_reply(400, "bad_request", str(error))

    def _preflight(self, request: Request) -> Reply:
        """What a browser asks before it lets a listed page read: reading with a token is all that a page may."""
        headers = {
            "Access-Control-Allow-Methods": "GET, HEAD",
            "Access-Control-Allow-Headers": "Authorization",
            "Access-Control-Max-Age": "600",
        }
        return Reply(204, {}, headers, text="")

    def _is_from_a_page(self, request: Request, route: _Route) -> bool:
        """Whether a browser asks for a page that is not listed: it says where from, or names another machine."""
        if request.origin in self._cors_origins and route.method == "GET":
            return False
        name = urlsplit(f"//{request.host}").hostname or "" if request.host else ""
        return bool(request.origin) or (bool(name) and name not in _THIS_MACHINE)

    def _may(self, request: Request) -> bool:
        if self._token is None:
            return True
        scheme, _, given = request.authorization.partition(" ")
        if scheme.lower() not in {"bearer", "token"}:
            return False
        # Compared in constant time: how far a guess is right must not show in how long the answer takes.
        return compare_digest(given.strip().encode("utf-8", "replace"), self._token.encode())

    def _status(self, request: Request) -> Reply:
        self._board.note_asked()
        return Reply(200, {**self.status()})

    def _metrics(self, request: Request) -> Reply:
        return Reply(200, {}, {"Content-Type": CONTENT_TYPE}, text=exposition(self.status()))

    def _info(self, request: Request) -> Reply:
        return Reply(200, {**info_payload(self.status(), time.time())})

    def _acquire(self, request: Request) -> Reply:
        verdict = self._lock.acquire(parse_claim(parse_body(request.body), request.caller))
        if not verdict.granted:
            return self._conflict(verdict)
        return Reply(200, {"locked": True, "lock": lock_payload(verdict.lock, self._clock)})

    def _release(self, request: Request) -> Reply:
        wanted = parse_release(parse_body(request.body), request.caller)
        verdict = self._lock.release(wanted.id, installation=wanted.installation, force=wanted.force)
        if not verdict.granted:
            return self._conflict(verdict)
        return Reply(200, {"locked": False})

    def _conflict(self, verdict: Verdict) -> Reply:
        lock = lock_payload(verdict.lock, self._clock)
        owner = lock["owner"] if lock else ""
        message = f"this machine is locked by {owner}; wait until the lock ends, or unlock it with force"
        refusal = error_reply(409, "locked", message)
        return Reply(409, {**refusal.body, "locked": True, "lock": lock})


def _health(request: Request) -> Reply:
    return Reply(200, {"status": "ok", "timestamp": time.time()})


def error_reply(status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> Reply:
    """An error in the agent's one shape."""
    return Reply(status, {"error": {"message": message, "code": code}}, headers or {})
