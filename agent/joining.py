"""How the agent becomes a node of a server: what it tells, what it keeps, and the words for each refusal."""

from __future__ import annotations

import json
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from agent import __version__
from agent.link import Link, PinError
from agent.payloads import EnginePayload
from agent.push import told_error
from agent.server_url import server_base_url
from agent.state import PULL, PUSH, State
from agent.wire import WireError

JOIN_PATH = "/api/v1/agents/join"
TIMEOUT_S = 15.0
_HINTS = {
    "join_token_used": 'each token joins one machine. Take a new line from "Add node"',
    "join_token_expired": 'take a new line from "Add node"',
    "join_token_unknown": 'was it copied whole? Else take a new line from "Add node"',
}


class JoinError(Exception):
    """Joining did not work; the text says why and what to do."""


@dataclass(frozen=True)
class Wish:
    """What somebody typed: the server, the token, and perhaps a name for the node."""

    server_url: str
    token: str
    name: str | None


def wish(url: str, token: str, name: str | None) -> Wish:
    """What was typed, checked. Raises JoinError."""
    try:
        server_url = server_base_url(url)
    except ValueError as error:
        raise JoinError(f"{url!r}: {error}") from None
    token = token.strip()
    if not _travels(token):
        raise JoinError('the join token is not one: take the whole line from "Add node"')
    return Wish(server_url, token, name.strip()[:100] or None if name else None)


def join(
    wish: Wish,
    *,
    before: State,
    port: int,
    host: str,
    system: str,
    engines: Sequence[EnginePayload],
    pin: str | None,
) -> State:
    """Ask the server to take this machine; the agent already listens on `port`. Raises JoinError."""
    body = {
        "token": wish.token,
        "name": wish.name,
        "hostname": socket.gethostname(),
        "machine_id": before.machine_id,
        "port": port,
        "agent_version": __version__,
        "os": system,
        "engines": list(engines),
    }
    link = Link(wish.server_url, timeout_s=TIMEOUT_S, pin=pin)
    try:
        status, answer = link.post(JOIN_PATH, json.dumps(body).encode())
    except PinError as error:
        raise JoinError(f"{error}. Is DPL_SERVER_PIN right, and does nobody stand between?") from None
    except (OSError, WireError) as error:
        raise JoinError(_unreachable(wish.server_url, error)) from None
    finally:
        link.close()
    if status != 201:
        raise JoinError(_refusal(wish.server_url, status, answer))
    return _state(wish, answer, before, port=port, host=host, pin=pin)


def _state(wish: Wish, answer: bytes, before: State, *, port: int, host: str, pin: str | None) -> State:
    told: Any = None
    try:
        told = json.loads(answer)
        node, token, mode = told["node"], told["agent_token"], told["mode"]
        node_id, name = int(node["id"]), str(node["name"])
    except (ValueError, TypeError, KeyError, RecursionError):
        raise JoinError(f"{wish.server_url} answers, but not as DPL does. Is the address right?") from None
    if not isinstance(token, str) or not _travels(token) or mode not in {PULL, PUSH}:
        raise JoinError(f"{wish.server_url} took this machine, but its answer makes no sense")
    return State(
        machine_id=before.machine_id,
        server_url=wish.server_url,
        server_pin=pin or "",
        node_id=node_id,
        node_name=name,
        agent_token=token,
        mode=mode,
        host=host,
        port=port,
    )


def _travels(token: str) -> bool:
    """Whether a header can carry it."""
    return bool(token) and token.isascii() and token.isprintable() and " " not in token


def _unreachable(url: str, error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return (
            f"{url} does not answer within {TIMEOUT_S:.0f} s. Is the address right, and open in its firewall?"
        )
    if isinstance(error, socket.gaierror):
        return f"{url}: there is no machine of this name"
    if isinstance(error, ConnectionRefusedError):
        return f"nothing listens at {url}. Does DPL run there, and on an address that others reach?"
    if type(error).__name__ == "SSLCertVerificationError":
        return (
            f"{url} shows a certificate that this machine does not trust ({error}). "
            "If it is your own, set DPL_SERVER_PIN to its SHA-256"
        )
    if isinstance(error, WireError):
        return f"what answers at {url} is no web server ({error}). Is it https?"
    return f"{url} cannot be reached: {error}"


def _refusal(url: str, status: int, answer: bytes) -> str:
    code, message = told_error(answer)
    if code in _HINTS:
        return f"the server refuses the token: {message or code}; {_HINTS[code]}"
    if 300 <= status < 400:
        return f"{url} sends this on to another address (status {status}); join at that one"
    if status == 404 or not code:
        return f"{url} answers with status {status} and is no DPL that nodes can join. Is the address right?"
    return f"the server does not take this machine ({status}): {message or code}"
