"""The guards of plain Django views, sync and async: who may come in, and by which method."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

from asgiref.sync import iscoroutinefunction
from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.translation import gettext

from accounts import csrf, keys, roles
from accounts.authentication import Principal, authenticate, authenticate_async, principal_of_user
from accounts.networks import key_name_for, principal_of_network
from dpl_site.lib.db import call
from dpl_site.lib.refusals import CODES, Refused, Surface, error_for, surface_of

SAFE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
NO_KEY = "Send an API key (Authorization: Bearer dpl_…) or log in."
WRONG_KEY = (
    "This API key is unknown, revoked or expired. Ask an admin for a new one (`manage.py apikey create`)."
)
NO_ROLE = "Your account has no role yet, so it may do nothing. Ask an admin to give it one."

V = TypeVar("V", bound=Callable[..., Any])


class Asked(HttpRequest):
    """A request that a guard let in: the type for views under `require` and `page`."""

    principal: Principal


def require(scope: str) -> Callable[[V], V]:
    """Let in who shows a key, or has a session, with this scope; sets `request.principal`.

    Otherwise answers JSON in the words of the path: 401 without a key or with a wrong one, 403 without the
    scope. A change that a session vouches for needs Django's CSRF token (header `X-CSRFToken`, or the form's
    field); a key needs none. A `Refused` that the view raises becomes its answer.
    """

    def decorate(view: V) -> V:
        if iscoroutinefunction(view):

            @wraps(view)
            async def inner(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
                try:
                    _admit(request, await _principal_async(request), scope)
                    return cast(HttpResponseBase, await view(request, *args, **kwargs))
                except Refused as refused:
                    return refusal(request, refused)
        else:

            @wraps(view)
            def inner(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
                try:
                    _admit(request, _principal(request), scope)
                    return cast(HttpResponseBase, view(request, *args, **kwargs))
                except Refused as refused:
                    return refusal(request, refused)

        # Only Django's own check is switched off: `_of_session` makes it when a cookie let the request in.
        inner.__dict__["csrf_exempt"] = True
        return cast(V, inner)

    return decorate


def page(scope: str) -> Callable[[V], V]:
    """Let a person in to a page; nobody logged in: to the login; without the scope: Django's 403 page.

    Reading with a key works too. Sets `request.principal`. Forms are checked by Django's CSRF middleware.
    """

    def decorate(view: V) -> V:
        if iscoroutinefunction(view):

            @wraps(view)
            async def inner(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
                led = _led_away(request, await call(_reader, request), scope)
                return led or cast(HttpResponseBase, await view(request, *args, **kwargs))
        else:

            @wraps(view)
            def inner(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
                led = _led_away(request, _reader(request), scope)
                return led or cast(HttpResponseBase, view(request, *args, **kwargs))

        return cast(V, inner)

    return decorate


def methods(*names: str) -> Callable[[V], V]:
    """Answer 405 with `Allow` to other methods; HEAD goes where GET goes. Stands outside `require`."""
    allowed = frozenset(names) | ({"HEAD"} if "GET" in names else set())

    def wrong(request: HttpRequest) -> HttpResponseBase | None:
        if request.method in allowed:
            return None
        message = f"{request.method} is not possible here. Use {' or '.join(names)}."
        response = error_for(request.path, message, CODES[405], 405)
        response["Allow"] = ", ".join(sorted(allowed))
        return response

    def decorate(view: V) -> V:
        if iscoroutinefunction(view):

            @wraps(view)
            async def inner(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
                return wrong(request) or cast(HttpResponseBase, await view(request, *args, **kwargs))
        else:

            @wraps(view)
            def inner(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
                return wrong(request) or cast(HttpResponseBase, view(request, *args, **kwargs))

        return cast(V, inner)

    return decorate


def server_address(request: HttpRequest) -> str:
    """This site's address as other machines reach it: as set, else as whoever asks came."""
    return settings.DPL_PUBLIC_URL or f"{request.scheme}://{request.get_host()}"


def refusal(request: HttpRequest, refused: Refused) -> HttpResponseBase:
    """A service's no as the answer to a request."""
    return error_for(request.path, refused.message, refused.code, refused.status, refused.detail)


def lacks(principal: Principal, scope: str) -> Refused:
    """The 403 that names the scope that is missing."""
    return Refused(_lacks(principal, scope), code="missing_scope", status=403, detail={"scope": scope})


def _lacks(principal: Principal, scope: str) -> str:
    if not principal.role:
        return NO_ROLE
    has = ", ".join(roles.in_order(principal.scopes)) or "none"
    holder = "This key" if principal.key_id is not None else f"Your role, {principal.role},"
    return f"This needs the scope {scope!r}. {holder} has: {has}."


def _said_to_person(principal: Principal, scope: str) -> str:
    """The same for a page, in the reader's language."""
    if not principal.role:
        return gettext(NO_ROLE)
    said = gettext("This needs the scope '%(scope)s'. Your role, %(role)s, has: %(scopes)s.")
    has = ", ".join(roles.in_order(principal.scopes)) or "–"
    return said % {"scope": scope, "role": principal.role, "scopes": has}


def _admit(request: HttpRequest, principal: Principal | None, scope: str) -> None:
    if principal is None:
        shown = keys.key_in(request.headers.get("Authorization")) is not None
        raise Refused(
            WRONG_KEY if shown else NO_KEY, code="invalid_api_key" if shown else CODES[401], status=401
        )
    if not principal.may(scope):
        raise lacks(principal, scope)
    cast(Asked, request).principal = principal


def _led_away(request: HttpRequest, principal: Principal | None, scope: str) -> HttpResponseBase | None:
    """To the login when nobody is logged in; None when the person may come in. Raises PermissionDenied."""
    if principal is None:
        return redirect_to_login(request.get_full_path())
    if not principal.may(scope):
        raise PermissionDenied(_said_to_person(principal, scope))
    cast(Asked, request).principal = principal
    return None


def _principal(request: HttpRequest) -> Principal | None:
    authorization = request.headers.get("Authorization")
    if keys.key_in(authorization) is None:
        return _of_session(request) or _of_network(request)
    return authenticate(authorization) or _of_network(request)


async def _principal_async(request: HttpRequest) -> Principal | None:
    authorization = request.headers.get("Authorization")
    principal = await authenticate_async(authorization)
    if principal is None and keys.key_in(authorization) is None:
        principal = await call(_of_session, request)
    return principal or await call(_of_network, request)


def _of_network(request: HttpRequest) -> Principal | None:
    """Programs that cannot send a key ask by OpenAI's and Ollama's paths only."""
    if surface_of(request.path) is Surface.DPL:
        return None
    name = key_name_for(
        address=request.META.get("REMOTE_ADDR"),
        authorization=request.headers.get("Authorization"),
        origin=request.headers.get("Origin"),
    )
    return principal_of_network(name) if name else None


def _reader(request: HttpRequest) -> Principal | None:
    authorization = request.headers.get("Authorization")
    if request.method in SAFE and keys.key_in(authorization) is not None:
        return authenticate(authorization)
    return principal_of_user(request.user)


def _of_session(request: HttpRequest) -> Principal | None:
    principal = principal_of_user(request.user)
    if principal is not None and request.method not in SAFE:
        reason = csrf.refusal(request)
        if reason:
            message = f"{reason} Reload the page and try again, or use an API key."
            raise Refused(message, code="csrf_failed", status=403)
    return principal
