"""What the two families of paths share: who may come in, how query parameters are checked, how rows stream."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db import connection
from django.http import StreamingHttpResponse
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.views import APIView

from accounts.authentication import Principal
from accounts.rest import principal_of
from datasets import export
from datasets.models import Job
from datasets.selectors import job_for
from datasets.serializers import ResultQuery, Shape


class FirstRenderer(BaseContentNegotiation):
    """Answers in JSON whatever is asked for: `?format=` is ours, and no program is turned away by its Accept."""

    def select_parser(self, request: Request, parsers: Iterable[BaseParser]) -> BaseParser | None:
        """The parser of the request's media type, None when there is none."""
        media_type = (request.content_type or "").partition(";")[0].strip()
        return next((parser for parser in parsers if parser.media_type == media_type), None)

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        """The first one."""
        first = next(iter(renderers))
        return first, str(first.media_type)


class JobView(APIView):
    """A view of jobs: one's own, or with the admin scope everybody's; another person's is 404."""

    content_negotiation_class = FirstRenderer

    @property
    def scopes(self) -> dict[str, str]:
        """Changing needs `datasets`; reading needs `read`, or `datasets` for a key that has that alone."""
        principal = self.request.auth
        has_it_alone = isinstance(principal, Principal) and not principal.may("read")
        return {"GET": "datasets" if has_it_alone else "read", "*": "datasets"}

    def job(self, request: Request, job_id: str) -> Job:
        """The job. Raises Refused (404)."""
        return job_for(principal_of(request), job_id)


def asked(query: type[Shape], request: Request) -> dict[str, Any]:
    """The query parameters, checked. Raises DRF's ValidationError, which becomes a 400 that names one."""
    found = query(data=request.query_params)
    found.is_valid(raise_exception=True)
    return dict(found.validated_data)


def result_response(request: Request, job: Job) -> StreamingHttpResponse:
    """A job's rows as a download, read page by page while they are sent."""
    query = asked(ResultQuery, request)
    form = query["format"]
    if not connection.in_atomic_block:
        # The stream asks the pool's threads; this thread's connection would be held open all the while.
        connection.close()
    rows = export.stream(job_id=job.id, only=query["only"], meta=query["meta"], form=form)
    response = StreamingHttpResponse(rows, content_type=export.FORMS[form])
    response["Content-Disposition"] = export.disposition(job, form)
    response["X-Accel-Buffering"] = "no"
    return response
