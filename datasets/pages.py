"""The pages of jobs: the list with the upload form, one job, and what may be done to it. Decides who sees what."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, cast

from django.conf import settings
from django.contrib import messages
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from accounts.http import Asked, methods, page
from accounts.models import User
from datasets import actions, selectors, services
from datasets.capacity import MIB, check_space
from datasets.forms import UploadForm
from datasets.item_pages import items_context, job_or_404
from datasets.listing import SORTS, Sought
from datasets.models import Job
from datasets.reception import option_limits
from datasets.states import JobState
from dpl_site.lib.refusals import Refused
from inference.catalog import models_there_are
from nodes.selectors import live_nodes

PAGE_SIZE = 20


@methods("GET", "POST")
def jobs_page(request: HttpRequest) -> HttpResponse:
    """`/jobs/`: GET lists, POST uploads."""
    view: Callable[[Any], HttpResponse] = upload if request.method == "POST" else jobs_list
    return view(request)


@page("read")
def jobs_list(request: Asked) -> HttpResponse:
    """One's own jobs, with the admin scope everybody's, and the upload form for those who may upload."""
    return _listed(request, _form())


@page("datasets")
def upload(request: Asked) -> HttpResponse:
    """Make a job of the file and show it; what is wrong is shown at the form, which keeps its fields."""
    form, status = _form(request.POST, request.FILES), 400
    if form.is_valid():
        try:
            return redirect("job-page", _job_of(request, form).id)
        except Refused as refused:
            form.blame(refused)
            status = refused.status
    return _listed(request, form, status)


@methods("GET")
@page("read")
def job_page(request: Asked, job_id: str) -> HttpResponse:
    """One job: progress, nodes, errors, downloads, and the buttons of those who may."""
    job = job_or_404(request, job_id)
    status = selectors.detailed_status(job)
    buttons = actions.buttons(status) if request.principal.may("datasets") else []
    context = {"options": job.options, "sampling": _sampling(job), "buttons": buttons}
    context |= items_context(job, status, request)
    return render(request, "datasets/job.html", context)


@methods("GET", "POST")
@page("datasets")
def job_act(request: Asked, job_id: str, action: str) -> HttpResponse:
    """Stop, abort, resume, retry. A GET, as after a login in between, only leads back to the job."""
    job = job_or_404(request, job_id)
    if action not in actions.ACTIONS:
        raise Http404
    if request.method == "POST":
        try:
            messages.success(request, actions.act(action, job.id))
        except Refused as refused:
            messages.error(request, refused.message)
    return redirect("job-page", job.id)


def _form(*told: Any) -> UploadForm:
    nodes = live_nodes().order_by("name").values_list("id", "name")
    return UploadForm(*told, models=models_there_are(), nodes=nodes, limits=option_limits())


def _job_of(request: Asked, form: UploadForm) -> Job:
    """The job of a form that looks right. Raises Refused."""
    file = form.cleaned_data["file"]
    check_space(file.size)
    owner = cast(User, request.user)
    return services.upload_from_chunks(
        owner=owner, chunks=file.chunks(), fields=form.told(), filename=file.name or ""
    )


def _listed(request: Asked, form: UploadForm, status: int = 200) -> HttpResponse:
    sought = Sought.asked(request.GET)
    jobs = sought.among(selectors.jobs_of(request.principal))
    found = Paginator(jobs, PAGE_SIZE).get_page(request.GET.get("page"))
    asked = f"&{sought.query}" if sought.query else ""
    context: Mapping[str, Any] = {
        "form": form if request.principal.may("datasets") else None,
        "page": found,
        "jobs": selectors.statuses(list(found)),
        "source": f"/api/v1/jobs/?page={found.number}&page_size={PAGE_SIZE}&{sought.source}",
        "sought": sought,
        "asked": asked,
        "sorts": [(name, label) for name, (label, _) in SORTS.items()],
        "job_states": list(JobState),
        "shows_owner": request.principal.may("admin"),
        "row_kb": settings.DPL_MAX_ROW_KB,
        "most_mb": settings.DATA_UPLOAD_MAX_MEMORY_SIZE // MIB,
    }
    return render(request, "datasets/jobs.html", context, status=status)


def _sampling(job: Job) -> list[tuple[str, str]]:
    """The job's sampling parameters with their values as JSON."""
    sampling = job.options.get("sampling") or {}
    return [(name, json.dumps(value, ensure_ascii=False)) for name, value in sampling.items()]
