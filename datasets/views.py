"""`/api/dataset/…`: the paths of the product's first clients, exact, beside `/api/v1/jobs/`."""

from __future__ import annotations

from typing import cast

from django.http import StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.models import User
from accounts.rest import principal_of
from datasets import selectors, services
from datasets.api import FirstRenderer, JobView, asked, result_response
from datasets.capacity import check_space
from datasets.reception import made_answer
from datasets.serializers import (
    CleanedUpSerializer,
    DetailedStatusSerializer,
    MadeJobSerializer,
    ResultQuery,
    StatusSerializer,
    StopQuery,
    UploadSerializer,
)
from dpl_site.lib.refusals import Refused


class UploadView(JobView):
    """Uploads, as the schema shows them; the upload door answers them before Django is asked."""

    parser_classes = (MultiPartParser,)

    @extend_schema(request=UploadSerializer, responses={201: MadeJobSerializer})
    def post(self, request: Request) -> Response:
        """Upload a dataset and make a job of it: JSON array or JSONL, each row checked while it arrives."""
        file = request.FILES.get("file")
        if file is None:
            raise Refused("There is no part named file. Send the dataset as one.", code="no_file")
        check_space(file.size)
        fields = request.POST.dict()
        job = services.upload_from_chunks(
            owner=cast(User, request.user), chunks=file.chunks(), fields=fields, filename=file.name or ""
        )
        return Response(made_answer(job, fields), status=status.HTTP_201_CREATED)


class StatusView(JobView):
    """`GET /api/dataset/status/{job_id}`."""

    @extend_schema(responses=StatusSerializer)
    def get(self, request: Request, job_id: str) -> Response:
        """How far a job is, in short."""
        return Response(selectors.status(self.job(request, job_id)))


class DetailedStatusView(JobView):
    """`GET /api/dataset/detailed-status/{job_id}`."""

    @extend_schema(responses=DetailedStatusSerializer)
    def get(self, request: Request, job_id: str) -> Response:
        """How far a job is, with its speed, its nodes and its errors."""
        return Response(selectors.detailed_status(self.job(request, job_id)))


class StopView(JobView):
    """`POST /api/dataset/stop/{job_id}` and `/api/v1/jobs/{id}/stop`."""

    @extend_schema(request=None, parameters=[StopQuery], responses=StatusSerializer)
    def post(self, request: Request, job_id: str) -> Response:
        """Stop a job and keep what is done: `drain` lets what runs finish, `abort` cuts it."""
        job = self.job(request, job_id)
        services.job_stop(job_id=job.id, mode=asked(StopQuery, request)["mode"])
        return Response(selectors.status(self.job(request, job_id)))


class ResultView(JobView):
    """`GET /api/dataset/result/{job_id}` and `/api/v1/jobs/{id}/result`."""

    @extend_schema(parameters=[ResultQuery], responses=OpenApiTypes.OBJECT)
    def get(self, request: Request, job_id: str) -> StreamingHttpResponse:
        """The rows in input order, each with `model_output`; at any time, what is not done yet is null."""
        return result_response(request, self.job(request, job_id))


class CleanupView(APIView):
    """`POST /api/dataset/cleanup/all`."""

    scopes = {"*": "admin"}  # noqa: RUF012  # a view's declaration, never changed
    content_negotiation_class = FirstRenderer

    @extend_schema(request=None, responses=CleanedUpSerializer)
    def post(self, request: Request) -> Response:
        """Abort every unfinished job and free what jobs hold; results and persons' locks stay."""
        return Response(services.cleanup_all(actor=principal_of(request).username))
