"""What belongs to the site and to no app: answers to errors, the API's schema and its page.

Under the paths of programs an error is JSON in the words of that surface; elsewhere it is a page. Error pages
are drawn without the request, so that they need neither session nor database.
"""

from __future__ import annotations

import sys
from http import HTTPStatus
from typing import ClassVar, cast

from django.core.exceptions import RequestDataTooBig
from django.http import Http404, HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from drf_spectacular.renderers import (
    OpenApiJsonRenderer,
    OpenApiJsonRenderer2,
    OpenApiYamlRenderer,
    OpenApiYamlRenderer2,
)
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

from accounts.http import Asked, methods, page
from accounts.rest import ScopePermission
from dpl_site.health import health, ready
from dpl_site.lib import agent_wheel as packed
from dpl_site.lib.refusals import CODES, error_for, is_machine_path
from dpl_site.lib.rest import server_error_of

__all__ = [
    "agent_wheel",
    "bad_request",
    "csrf_failure",
    "docs",
    "forbidden",
    "health",
    "not_found",
    "ready",
    "schema",
    "server_error",
]


_SAID = {
    400: (
        gettext_lazy("This cannot be understood"),
        gettext_lazy("Go back, look at what was entered, and send it again."),
    ),
    403: (
        gettext_lazy("You may not do this"),
        gettext_lazy("Your role decides what you may do; an admin can give you another one."),
    ),
    404: (
        gettext_lazy("There is nothing here"),
        gettext_lazy(
            "It may have been removed, or the address has a slip in it. The first page leads to everything."
        ),
    ),
    413: (
        gettext_lazy("This is too large"),
        gettext_lazy("Send less at once, or ask an admin to raise the limit."),
    ),
    500: (
        gettext_lazy("Something broke"),
        gettext_lazy(
            "What was saved before is safe. If it happens again, tell an admin what you did and when."
        ),
    ),
    503: (gettext_lazy("DPL is not ready"), gettext_lazy("Wait a few seconds and load the page again.")),
}
"""What a status is called on its page, and what to do about it."""


class SchemaView(SpectacularAPIView):
    """OpenAPI 3: JSON, or YAML by the Accept header."""

    permission_classes = (ScopePermission,)
    scopes: ClassVar = {"*": "read"}


class DocsView(SpectacularSwaggerSplitView):
    """Swagger UI from our own static files; its script comes from a path, since the CSP allows none inline."""

    # `docs` has let the person in already, and leads to the login where the framework would answer JSON.
    authentication_classes = ()
    permission_classes = ()
    url = "/api/schema"
    template_name = "docs.html"


schema = SchemaView.as_view(
    renderer_classes=[OpenApiJsonRenderer, OpenApiJsonRenderer2, OpenApiYamlRenderer, OpenApiYamlRenderer2]
)
_docs = DocsView.as_view()


@methods("GET")
@page("read")
def docs(request: Asked) -> HttpResponse:
    """The API's page, for people."""
    return cast(HttpResponse, _docs(request))


@methods("GET")
def agent_wheel(request: HttpRequest, name: str) -> HttpResponse:
    """The agent, to be installed on nodes: open, since a machine that joins has no key."""
    current, content = packed.wheel()
    if name != current:
        raise Http404
    headers = {"Content-Disposition": f'attachment; filename="{current}"', "Cache-Control": "no-cache"}
    return HttpResponse(content, content_type="application/zip", headers=headers)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """400, or 413 when the body is larger than Django takes."""
    if isinstance(exception, RequestDataTooBig):
        return _answer(request, 413, _("The request is too large."))
    return _answer(request, 400, _("The request cannot be understood: %(why)s.") % {"why": _why(exception)})


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    """403 with the reason that the view gave."""
    return _answer(request, 403, str(exception) or _("You may not do this."))


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """403 for a form that did not come from our own pages, or from one that is too old."""
    message = _("This form is too old or comes from elsewhere. Reload the page and send it again.")
    if is_machine_path(request.path):
        return error_for(request.path, f"{reason} {message}".strip(), "csrf_failed", 403)
    return _answer(request, 403, message)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """404; a path that would be right without its last slash is told so."""
    message = _("There is nothing at %(path)s.") % {"path": request.path}
    if (
        request.path.endswith("/")
        and not request.path.startswith("/api/v1/")
        and is_machine_path(request.path)
    ):
        message += " " + _("Paths outside /api/v1/ have no slash at the end.")
    return _answer(request, 404, message)


def server_error(request: HttpRequest) -> HttpResponse:
    """500, or 503 while the database is away; Django has logged the trace."""
    answer = server_error_of(request.path, sys.exception())
    if is_machine_path(request.path):
        return answer
    shown = _page(answer.status_code, _("Something broke inside DPL. Try again; the log has the details."))
    if answer.has_header("Retry-After"):
        shown["Retry-After"] = answer["Retry-After"]
    return shown


def _why(exception: Exception) -> str:
    return str(exception).rstrip(".") or type(exception).__name__


def _answer(request: HttpRequest, status: int, message: str) -> HttpResponse:
    if is_machine_path(request.path):
        return error_for(request.path, message, CODES[status], status)
    return _page(status, message)


def _page(status: int, message: str) -> HttpResponse:
    title, advice = _SAID.get(status, (HTTPStatus(status).phrase, ""))
    context = {"status": status, "title": title, "message": message, "advice": advice}
    return HttpResponse(render_to_string("error.html", context), status=status)
