"""`/api/v1/jobs/`: jobs as resources, listed, filtered, acted upon, with their items and results."""

from __future__ import annotations

import json
from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.rest import principal_of
from datasets import selectors, services
from datasets.api import JobView, asked
from datasets.forecast import forecast
from datasets.listing import Sought
from datasets.models import Item
from datasets.pace import pace
from datasets.serializers import (
    EstimateQuery,
    EstimateSerializer,
    ItemSerializer,
    ItemsQuery,
    JobSerializer,
    JobsQuery,
    MadeJobSerializer,
    PaceSerializer,
    StatusSerializer,
    UploadSerializer,
)
from datasets.views import UploadView
from dpl_site.lib.clock import iso_ms
from dpl_site.lib.packing import unpack
from dpl_site.lib.rest import Pages

_PAGES = [OpenApiParameter("page", int), OpenApiParameter("page_size", int)]


class PagesWithText(Pages):
    """Fewer at once, since each may hold megabytes."""

    page_size = 20
    max_page_size = 50


class JobsView(UploadView):
    """`/api/v1/jobs/`."""

    @extend_schema(parameters=[JobsQuery, *_PAGES], responses=StatusSerializer(many=True))
    def get(self, request: Request) -> Response:
        """Jobs, newest first: one's own, with the admin scope everybody's."""
        query = asked(JobsQuery, request)
        jobs = selectors.jobs_of(principal_of(request), username=query.get("owner"))
        jobs = Sought(
            query.get("search", ""), query.get("state", ""), query["sort"], query["dry_runs"]
        ).among(jobs)
        pages = Pages()
        return pages.get_paginated_response(
            selectors.statuses(pages.paginate_queryset(jobs, request, self) or [])
        )

    @extend_schema(request=UploadSerializer, responses={201: MadeJobSerializer})
    def post(self, request: Request) -> Response:
        """Upload a dataset and make a job of it: JSON array or JSONL, each row checked while it arrives."""
        return super().post(request)


class JobDetailView(JobView):
    """`/api/v1/jobs/{id}/`."""

    @extend_schema(responses=JobSerializer)
    def get(self, request: Request, job_id: str) -> Response:
        """One job in detail, with the options it was made with."""
        job = self.job(request, job_id)
        return Response(selectors.detailed_status(job) | {"options": job.options})


class JobResumeView(JobView):
    """`/api/v1/jobs/{id}/resume`."""

    @extend_schema(request=None, responses=StatusSerializer)
    def post(self, request: Request, job_id: str) -> Response:
        """Go on with a stopped job where it stopped."""
        services.job_resume(job_id=self.job(request, job_id).id)
        return Response(selectors.status(self.job(request, job_id)))


class JobRetryView(JobView):
    """`/api/v1/jobs/{id}/retry-failed`."""

    @extend_schema(request=None, responses=StatusSerializer)
    def post(self, request: Request, job_id: str) -> Response:
        """Run the failed items of an ended job again, as if they were new."""
        services.job_retry_failed(job_id=self.job(request, job_id).id)
        return Response(selectors.status(self.job(request, job_id)))


class JobPaceView(JobView):
    """`/api/v1/jobs/{id}/pace/`."""

    @extend_schema(responses=PaceSerializer)
    def get(self, request: Request, job_id: str) -> Response:
        """How many items per second were recorded, over the job's time."""
        return Response(pace(self.job(request, job_id)))


class JobEstimateView(JobView):
    """`/api/v1/jobs/{id}/estimate/`."""

    @extend_schema(parameters=[EstimateQuery], responses=EstimateSerializer)
    def get(self, request: Request, job_id: str) -> Response:
        """How long so many rows with this job's options would take, by what it took and by what was measured."""
        job = self.job(request, job_id)
        return Response(forecast(job, asked(EstimateQuery, request)["rows"]))


class JobItemsView(JobView):
    """`/api/v1/jobs/{id}/items/`."""

    @extend_schema(parameters=[ItemsQuery, *_PAGES], responses=ItemSerializer(many=True))
    def get(self, request: Request, job_id: str) -> Response:
        """A job's items in input order."""
        job, query = self.job(request, job_id), asked(ItemsQuery, request)
        items = selectors.items_of(
            job,
            state=query.get("state", ""),
            node_id=query.get("node"),
            cause=query.get("cause", ""),
            with_text=query["text"],
        )
        pages = PagesWithText() if query["text"] else Pages()
        found = pages.paginate_queryset(items, request, self) or []
        return pages.get_paginated_response([item_view(item, with_text=query["text"]) for item in found])


def item_view(item: Item, *, with_text: bool) -> dict[str, Any]:
    """One item as clients see it."""
    view = {
        "index": item.index,
        "state": item.state,
        "node": {"id": item.node.id, "name": item.node.name} if item.node else None,
        "model": item.model,
        "starts": item.starts,
        "attempts": item.attempts,
        "interruptions": item.interruptions,
        "cause": item.cause or None,
        "error": item.error or None,
        "finished_at": iso_ms(item.finished_ms),
        "duration_ms": item.duration_ms,
        "ttft_ms": item.ttft_ms,
        "prompt_tokens": item.prompt_tokens,
        "completion_tokens": item.completion_tokens,
    }
    if with_text:
        output = getattr(item, "output", None)
        view["input"] = json.loads(unpack(item.input.text, item.input.packed))
        view["output"] = json.loads(unpack(output.text, output.packed)) if output else None
    return view
