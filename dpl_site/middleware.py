"""What every answer of Django carries besides: the request's id, and the security headers Django lacks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import cast

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from dpl_site.lib import trace
from dpl_site.lib.refusals import is_machine_path

PERMISSIONS_POLICY = "camera=(), geolocation=(), microphone=(), payment=(), usb=()"

GetResponse = Callable[[HttpRequest], HttpResponseBase | Awaitable[HttpResponseBase]]


class RequestIdMiddleware:
    """Outermost: sets `request.request_id` and the id of log lines; finishes the headers of each answer.

    It runs in the event loop under ASGI, without a thread, and works under WSGI and the test client too.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        """The answer to a request, or what gives it when the site runs async."""
        if self._is_async:
            return self._answer_async(request)
        token = trace.request_id.set(_begin(request))
        try:
            return _finish(request, cast(HttpResponseBase, self.get_response(request)))
        finally:
            trace.request_id.reset(token)

    async def _answer_async(self, request: HttpRequest) -> HttpResponseBase:
        token = trace.request_id.set(_begin(request))
        try:
            return _finish(request, await cast(Awaitable[HttpResponseBase], self.get_response(request)))
        finally:
            trace.request_id.reset(token)


def _begin(request: HttpRequest) -> str:
    value = trace.accepted(request.headers.get(trace.HEADER))
    request.__dict__["request_id"] = value
    return value


def _finish(request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
    response.headers.setdefault(trace.HEADER, request.__dict__["request_id"])
    response.headers.setdefault("Permissions-Policy", PERMISSIONS_POLICY)
    if is_machine_path(request.path):
        # Answers belong to one key or session and may hold results or a new key.
        response.headers.setdefault("Cache-Control", "no-store")
    return response
