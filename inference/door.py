"""The door of the gateway: a plain ASGI application that answers what generates, before Django is asked.

Async. It takes keys only, no cookies; reads a request within its limits; has its client watched all the
time; and says errors in the client's dialect.
"""

from __future__ import annotations

import asyncio
import logging

from django.conf import settings

from accounts import keys
from accounts.authentication import Principal, authenticate_async
from accounts.http import NO_KEY, WRONG_KEY, lacks
from accounts.networks import key_name_for, principal_of_network_async
from dpl_site.lib import trace
from dpl_site.lib.answering import Receive, Scope, Send, header
from dpl_site.lib.refusals import Refused
from inference.arrival import ClientGone, RequestBody, Room
from inference.attending import Attended
from inference.errors import InferenceError
from inference.gateway import Gateway, Parts
from inference.http_client import HttpClient
from inference.records import CANCELLED, CLIENT_LEFT
from inference.surfaces import SURFACES

EXIT_STACK = "dpl.exit_stack"

logger = logging.getLogger(__name__)


class GatewayDoor:
    """Answers POST on the paths of `SURFACES`, other methods there with 405.

    Guarantee: when a client leaves, what is done for it is cancelled at once, and with it its engine's
    connection closed and its slot given on. Writes no rows itself. On kill -9 see `proxy.Proxy`.
    """

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._room = Room(settings.DPL_MAX_REQUESTS_MB * 1024 * 1024)

    def owns(self, scope: Scope) -> bool:
        """Whether this request is for this door; preflights are left to Django's middleware."""
        return scope["type"] == "http" and scope["path"] in SURFACES and scope["method"] != "OPTIONS"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        token = trace.request_id.set(trace.accepted(header(scope, b"x-request-id")))
        trace.take_over(scope["headers"])
        parts, body = self._gateway.now(), RequestBody(scope, receive, self._room)
        client = HttpClient(scope, send, body.forget)
        try:
            await self._answer(scope, receive, client, body, parts)
        except ClientGone:
            client.note.ended(CANCELLED, CLIENT_LEFT)
            logger.debug("a client left", extra={"action": "client_left"})
        except asyncio.CancelledError:
            client.note.ended(CANCELLED, CLIENT_LEFT)
            raise
        except Refused as refused:
            await client.refuse(refused)
        except InferenceError as error:
            message = error.engine_message or error.message
            retry = error.retry_after_s
            await client.fail(message, error.code, error.http_status, retry_after_s=retry)
        except Exception:
            logger.exception("a request broke", extra={"action": "request_broke"})
            await client.fail("DPL met a defect; its log has the details.", "internal_error", 500)
        finally:
            body.let_go()
            parts.record(client.note)
            trace.request_id.reset(token)

    async def _answer(
        self, scope: Scope, receive: Receive, client: HttpClient, body: RequestBody, parts: Parts
    ) -> None:
        if scope["method"] != "POST":
            raise Refused(f"{scope['method']} is not possible here. Use POST.", status=405)
        client.note.principal = principal = await _admitted(scope)
        if principal.limits:
            client.told = await parts.limiter.admit(principal)
        with Attended(parts.young, receive, client, body) as work:
            asked = client.surface.read(await body.read())
            work.has_body()
            client.note.model_asked, client.note.is_streaming = asked.model, asked.wants_stream
            stack, request_id = scope[EXIT_STACK], trace.request_id.get()
            await parts.proxy.answer(client.surface, asked, client, stack, request_id)


async def _of_network(scope: Scope, authorization: str) -> Principal | None:
    address = (scope.get("client") or ("",))[0]
    name = key_name_for(address=address, authorization=authorization, origin=header(scope, b"origin"))
    return await principal_of_network_async(name) if name else None


async def _admitted(scope: Scope) -> Principal:
    """Who asks, when he may. Raises Refused (401, 403)."""
    authorization = header(scope, b"authorization")
    principal = await authenticate_async(authorization) or await _of_network(scope, authorization)
    if principal is None:
        shown = keys.key_in(authorization) is not None
        code = "invalid_api_key" if shown else ""
        raise Refused(WRONG_KEY if shown else NO_KEY, code=code, status=401)
    if not principal.may("chat"):
        raise lacks(principal, "chat")
    return principal
