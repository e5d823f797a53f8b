"""The site's own paths and a few rooms to knock at, sync and async, page and API."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.core.exceptions import ValidationError as ModelValidationError
from django.db import OperationalError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.urls import include, path
from drf_spectacular.utils import extend_schema
from rest_framework import exceptions, serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.http import Asked, methods, page, require
from accounts.rest import principal_of
from dpl_site import views
from dpl_site.lib.refusals import Refused
from dpl_site.lib.rest import either
from dpl_site.navigation import PLACES

ERRORS: dict[str, Exception] = {
    "missing": Http404("gone"),
    "forbidden": PermissionDenied("Not on a Sunday."),
    "suspicious": SuspiciousOperation("That looks odd."),
    "huge": RequestDataTooBig("big"),
    "away": OperationalError("server closed the connection, password=hunter2"),
    "broken": RuntimeError("secret inside"),
}


@methods("GET", "POST")
@require("datasets")
def sync_room(request: Asked) -> HttpResponse:
    return JsonResponse({"who": request.principal.username, "sent": request.POST.get("x", "")})


@methods("GET", "POST")
@require("datasets")
async def async_room(request: Asked) -> HttpResponse:
    return JsonResponse({"who": request.principal.username})


@require("datasets")
def streamed_room(request: Asked) -> HttpResponse:
    """Reads the body itself, which works only while nobody has read it before."""
    return JsonResponse({"length": len(request.read())})


@require("read")
def refusing_room(request: Asked) -> HttpResponse:
    raise Refused("The door is stuck.", code="stuck", status=409, detail={"door": ["Push."]})


@require("read")
async def refusing_async_room(request: Asked) -> HttpResponse:
    raise Refused("The door is stuck.", code="stuck", status=409)


@page("datasets")
def page_room(request: Asked) -> HttpResponse:
    return HttpResponse(f"hello {request.principal.username}")


def failing(request: HttpRequest, name: str) -> HttpResponse:
    raise ERRORS[name]


class Thing(serializers.Serializer[Any]):
    """A thing with a name and a nested size."""

    name = serializers.CharField(max_length=3)
    sizes = serializers.ListField(child=serializers.IntegerField(), required=False)


@extend_schema(request=Thing, responses=Thing)
class Things(APIView):
    """A REST view with two scopes and every way to fail."""

    scopes: ClassVar = {"GET": "read", "*": "datasets"}

    def get(self, request: Request) -> Response:
        match request.query_params.get("fail"):
            case None:
                return Response({"who": principal_of(request).username})
            case "throttled":
                raise exceptions.Throttled(wait=2.5)
            case "model":
                raise ModelValidationError({"name": ["Too short."]})
            case "refused":
                raise Refused("The door is stuck.", code="stuck", status=409)
            case name:
                raise ERRORS[name]

    def post(self, request: Request) -> Response:
        thing = Thing(data=request.data)
        thing.is_valid(raise_exception=True)
        return Response(thing.validated_data, status=201)


urlpatterns = [
    # The menu leads to pages of apps that are not here; those that are come after, and win.
    *(path(f"place/{place.url}", page_room, name=place.url) for place in PLACES),
    path("", include("accounts.urls")),
    path("sync", sync_room),
    path("api/sync", sync_room),
    path("api/async", async_room),
    path("api/streamed", streamed_room),
    path("api/refusing", refusing_room),
    path("api/refusing-async", refusing_async_room),
    path("v1/models", sync_room),
    path("api/tags", async_room),
    path("page", page_room),
    path("fail/<str:name>", failing),
    path("api/fail/<str:name>", failing),
    path("v1/fail/<str:name>", failing),
    *either("api/v1/things", Things.as_view(), name="things"),
    path("api/schema", views.schema),
    path("api/docs", views.docs),
    path("admin/", admin.site.urls),
]
handler400 = "dpl_site.views.bad_request"
handler403 = "dpl_site.views.forbidden"
handler404 = "dpl_site.views.not_found"
handler500 = "dpl_site.views.server_error"
