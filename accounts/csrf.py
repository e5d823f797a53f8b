"""Whether a change that a session cookie vouches for really comes from our own pages.

Requests with a key are not asked: no browser adds a key by itself. Views that take both are exempt from
Django's middleware and ask here when it was a cookie that let the request in.
"""

from __future__ import annotations

import copy
import io
from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, HttpResponse
from rest_framework.authentication import CSRFCheck


def refusal(request: HttpRequest) -> str | None:
    """Why a request that a session vouches for is refused; None when it may pass.

    With the token in the `X-CSRFToken` header the body is not read, so that uploads can be streamed after it.
    """
    if settings.CSRF_HEADER_NAME in request.META:
        return _header_refusal(request)
    return _reason(request)


def refusal_of_scope(scope: Mapping[str, Any]) -> str | None:
    """`refusal` for an ASGI http scope; the token has to stand in the header."""
    return _header_refusal(ASGIRequest(dict(scope), io.BytesIO()))


def _header_refusal(request: HttpRequest) -> str | None:
    # Django looks into the body of a POST first; under any other method it looks at the header alone.
    twin = copy.copy(request)
    if twin.method == "POST":
        twin.method = "PUT"
    return _reason(twin)


def _reason(request: HttpRequest) -> str | None:
    check = CSRFCheck(_unexempt)
    check.process_request(request)
    reason = check.process_view(request, _unexempt, (), {})
    return str(reason) if reason else None


def _unexempt(request: HttpRequest) -> HttpResponse:
    """Stands for the view, which is exempt from the middleware's check but not from this one."""
    return HttpResponse()
