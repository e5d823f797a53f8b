"""Where agents come by themselves: `POST /api/v1/agents/join` and `/push`. Tokens only: no session, no API key."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.conf import settings
from django.http import HttpRequest, JsonResponse
from django.views.decorators.csrf import csrf_exempt

from accounts.http import methods
from dpl_site.lib.rates import Rate
from dpl_site.lib.refusals import Refused, json_error
from inference.joining import agent_join, engines_told, push_interval_s
from nodes import pushed
from nodes.agent_keys import AgentRefused, node_of_agent
from nodes.answers import NoStatus, parse_object
from nodes.join_request import parse_join
from nodes.mirror import lock_request
from nodes.models import Node
from nodes.payloads import LockRequest
from nodes.selectors import our_lock
from nodes.services import installation_id

JOIN_BYTES = 64 * 1024
WRONG_PER_MINUTE = 60
"""Wrong tokens from one address before they are told to wait; right ones from there go on."""
LEAST_PUSHES_PER_MINUTE = 120
_joins, _wrong, _pushes = Rate(), Rate(), Rate()

View = Callable[[HttpRequest], JsonResponse]


class Wait(Refused):
    """Too often, or too much at once."""

    def __init__(self, message: str, retry_after_s: int, code: str = "") -> None:
        super().__init__(message, code=code, status=429)
        self.retry_after_s = retry_after_s


def _door(view: View) -> View:
    """An open POST: whatever is refused is said in JSON."""

    @csrf_exempt
    @methods("POST")
    @wraps(view)
    def inner(request: HttpRequest) -> JsonResponse:
        try:
            return view(request)
        except Refused as refused:
            response = json_error(refused.message, refused.code, refused.status, refused.detail)
            if isinstance(refused, Wait):
                response["Retry-After"] = str(refused.retry_after_s)
            return response

    return inner


@_door
def join(request: HttpRequest) -> JsonResponse:
    """A machine becomes a node: 201 with its id, its name, its own token, and whether it is asked or has to push."""
    address = _address(request)
    _admit(_joins, address, settings.DPL_JOINS_PER_MINUTE, "Too many machines join from this address.")
    joined = agent_join(asked=parse_join(_body(request, JOIN_BYTES)), address=address)
    told: dict[str, Any] = {
        "node": {"id": joined.node.id, "name": joined.node.name},
        "agent_token": joined.agent_token,
        "mode": joined.mode,
        "reason": joined.reason,
        "interval_s": push_interval_s(),
        "engines": engines_told(joined.engines),
    }
    return JsonResponse(told, status=201)


@_door
def push(request: HttpRequest) -> JsonResponse:
    """An agent's readings: 200 with the lock that it is to hold. What is no reading is left out, and told."""
    node = _node(request)
    most = max(LEAST_PUSHES_PER_MINUTE, int(4 * 60 / push_interval_s()))
    _admit(_pushes, str(node.id), most, "This agent pushes too often.")
    body = _body(request, settings.DPL_MAX_PUSH_KB * 1024)
    readings = _readings(body)
    sent_at = body.get("sent_at")
    try:
        received = pushed.receive(
            node_id=node.id, readings=readings, sent_at=sent_at if isinstance(sent_at, str) else None
        )
    except pushed.TooMuch:
        message = "The controller has not taken the readings before these. Keep them and push again."
        raise Wait(message, 2, "not_taken_yet") from None
    if received.refused and not received.stored:
        raise Refused(
            f"No reading is in it: {received.refused[0]}.", detail={"readings": [*received.refused]}
        )
    told: dict[str, Any] = {"lock": _lock(node), "interval_s": push_interval_s(), "stored": received.stored}
    return JsonResponse(told | ({"refused": [*received.refused]} if received.refused else {}))


def _node(request: HttpRequest) -> Node:
    try:
        return node_of_agent(request.headers.get("Authorization"))
    except AgentRefused:
        _admit(_wrong, _address(request), WRONG_PER_MINUTE, "Too many wrong tokens from this address.")
        raise


def _readings(body: dict[str, Any]) -> list[Any]:
    readings = body.get("readings")
    if not isinstance(readings, list):
        message = "readings is a list of what GET /status of the agent answers, the oldest first."
        raise Refused(message, detail={"readings": [message]})
    if len(readings) > pushed.MOST_PER_PUSH:
        message = f"At most {pushed.MOST_PER_PUSH} readings at once. Push the others next."
        raise Refused(message, code="too_many_readings", status=413, detail={"readings": [message]})
    return readings


def _lock(node: Node) -> LockRequest | None:
    lock = our_lock(node_id=node.id)
    return lock_request(lock, str(installation_id()), push_interval_s()) if lock else None


def _body(request: HttpRequest, most_bytes: int) -> dict[str, Any]:
    announced = request.headers.get("Content-Length", "")
    if (announced.isdigit() and int(announced) > most_bytes) or len(request.body) > most_bytes:
        raise Refused(f"The body is larger than {most_bytes >> 10} KiB. Send less at once.", status=413)
    try:
        return parse_object(request.body)
    except NoStatus as error:
        raise Refused(f"The body has to be a JSON object; this is {error}.", code="invalid_json") from error


def _admit(rate: Rate, caller: str, most: int, message: str) -> None:
    wait_s = rate.visit(caller, most)
    if wait_s:
        raise Wait(f"{message} Try again in {wait_s} s.", wait_s)


def _address(request: HttpRequest) -> str:
    """Whoever calls; behind trusted proxies the web server has put the caller's own address there."""
    return str(request.META.get("REMOTE_ADDR") or "")
