"""The REST surface's manners: pages, errors in one shape, and paths that end with a slash or without."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from django.core.exceptions import PermissionDenied
from django.core.exceptions import ValidationError as ModelValidationError
from django.db import InterfaceError, OperationalError
from django.http import Http404, JsonResponse
from django.urls import URLPattern, path
from rest_framework import exceptions
from rest_framework.pagination import PageNumberPagination
from rest_framework.routers import SimpleRouter
from rest_framework.views import set_rollback

from dpl_site.lib.refusals import CODES, Refused, error_for, json_error

__all__ = [
    "OptionalSlashRouter",
    "Pages",
    "Refused",
    "either",
    "error_for",
    "error_response",
    "json_error",
    "without_twins",
]

DATABASE_AWAY = "The database does not answer. Try again in a few seconds."

_Endpoint = tuple[str, str, str, Callable[..., Any]]

logger = logging.getLogger(__name__)


class Pages(PageNumberPagination):
    """`?page=&page_size=` (1 to 500): `{"count", "next", "previous", "results"}`."""

    page_size = 50
    page_size_query_param = "page_size"
    max_page_size = 500


class OptionalSlashRouter(SimpleRouter):
    """Routes view sets with and without the slash at the end; without a browsable root."""

    def __init__(self) -> None:
        super().__init__()
        self.trailing_slash = "/?"


def either(
    route: str, view: Callable[..., Any], name: str | None = None, **extra: Any
) -> tuple[URLPattern, URLPattern]:
    """A function view's route with the slash at the end and without: `urlpatterns = [*either(…), …]`."""
    bare = route.rstrip("/")
    return path(f"{bare}/", view, extra, name=name), path(bare, view, extra, name=name)


def without_twins(endpoints: list[_Endpoint]) -> list[_Endpoint]:
    """The schema's endpoints, each path once: the spelling with the slash at the end."""
    known = {(path, method) for path, _, method, _ in endpoints}
    return [found for found in endpoints if (f"{found[0]}/", found[2]) not in known]


def error_response(error: Exception, context: Mapping[str, Any]) -> JsonResponse | None:
    """Django REST framework's handler: every error in the contract's shape, whatever the view renders else.

    None for what nobody expected: Django logs that with its trace and `views.server_error` answers.
    """
    known = _known(error)
    if known is None:
        return None
    set_rollback()
    message, code, status, detail, headers = known
    request = context.get("request")
    response = error_for(request.path if request is not None else "", message, code, status, detail)
    for name, value in headers.items():
        response[name] = value
    return response


_Known = tuple[str, str, int, dict[str, Any] | None, dict[str, str]]


def _known(error: Exception) -> _Known | None:
    if isinstance(error, Refused):
        return error.message, error.code, error.status, error.detail, {}
    if isinstance(error, OperationalError | InterfaceError):
        logger.warning("answered 503: %s", str(error).strip())
        return DATABASE_AWAY, "database_away", 503, None, {"Retry-After": "2"}
    if isinstance(error, ModelValidationError):
        error = exceptions.ValidationError(_by_field(error))
    if isinstance(error, Http404):
        error = exceptions.NotFound("This does not exist, or it is not yours.")
    if isinstance(error, PermissionDenied):
        error = exceptions.PermissionDenied(*error.args)
    return _of_framework(error) if isinstance(error, exceptions.APIException) else None


def _of_framework(error: exceptions.APIException) -> _Known:
    if isinstance(error, exceptions.Throttled):
        wait = math.ceil(getattr(error, "wait", None) or 1)
        message = f"Too many requests. Try again in {wait} s."
        return message, CODES[429], 429, None, {"Retry-After": str(wait)}
    if isinstance(error, exceptions.ValidationError):
        detail = error.detail if isinstance(error.detail, dict) else {"non_field_errors": error.detail}
        return _first_message(detail), "invalid", error.status_code, detail, {}
    code = CODES.get(error.status_code) or str(error.default_code)
    return str(error.detail), code, error.status_code, None, {}


def _by_field(error: ModelValidationError) -> Any:
    return error.message_dict if hasattr(error, "error_dict") else error.messages


def _first_message(detail: Any, at: str = "") -> str:
    """The first complaint as a sentence: `labels.rack: Not a valid string.`"""
    if isinstance(detail, Mapping):
        for field, inner in detail.items():
            below = at if field == "non_field_errors" else f"{at}.{field}" if at else str(field)
            if inner:
                return _first_message(inner, below)
    if isinstance(detail, Sequence) and not isinstance(detail, str):
        for inner in detail:
            if inner:
                return _first_message(inner, at)
    return f"{at}: {detail}" if at else str(detail)


def server_error_of(path: str, error: BaseException | None) -> JsonResponse:
    """The JSON answer to an error that no view expected: 503 while the database is away, else 500."""
    if isinstance(error, OperationalError | InterfaceError):
        response = error_for(path, DATABASE_AWAY, "database_away", 503)
        response["Retry-After"] = "2"
        return response
    return error_for(path, "Something broke inside DPL. The log has the details.", CODES[500], 500)
