"""The pages of items: a job's list of them as a part of its page, one item, and two jobs side by side."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from accounts.http import Asked, methods, page
from datasets import selectors
from datasets.browsing import Filter, item_detail, items_page
from datasets.comparing import comparable, compare
from datasets.models import Job
from datasets.states import ItemState
from dpl_site.lib.refusals import Refused

PART = "X-Part"
"""The header by which the page's own script asks for a part of a page instead of the whole."""


def job_or_404(request: Asked, job_id: str) -> Job:
    """The job, when the reader may see it."""
    try:
        return selectors.job_for(request.principal, job_id)
    except Refused as refused:
        raise Http404(refused.message) from None


def items_context(job: Job, status: dict[str, Any], request: HttpRequest) -> dict[str, Any]:
    """What the list of items needs: a page of them, the filter, and what may be chosen in it."""
    wanted = Filter.asked(request.GET)
    found = items_page(job, wanted)
    links = {
        name: urlencode(wanted.query(begin)) if begin is not None else None
        for name, begin in (("before", found.before), ("after", found.after))
    }
    return {
        "job": status,
        "items": found.items,
        "filter": wanted,
        "query": urlencode(wanted.query()),
        "links": links,
        "item_states": list(ItemState),
        "is_filtered": bool(wanted.state or wanted.node_id or wanted.begin),
    }


@methods("GET")
@page("read")
def items_part(request: Asked, job_id: str) -> HttpResponse:
    """The list of items alone, for the job page's script; anybody else is led to the page."""
    job = job_or_404(request, job_id)
    if request.headers.get(PART) != "items":
        query = request.GET.urlencode()
        return redirect(f"{reverse('job-page', args=[job.id])}{'?' if query else ''}{query}#items")
    context = items_context(job, selectors.detailed_status(job), request)
    return _never_kept(render(request, "datasets/_items.html", context))


@methods("GET")
@page("read")
def item_page(request: Asked, job_id: str, index: int) -> HttpResponse:
    """One item: what was sent, what came back, from where, and what went wrong on the way."""
    job = job_or_404(request, job_id)
    item = item_detail(job, index) if index < 2**31 else None
    if item is None:
        raise Http404
    context = {
        "job_id": job.id,
        "job_name": job.name,
        "item": item,
        "row": index + int(job.options.get("offset") or 0),
        "before": index - 1 if index > 0 else None,
        "after": index + 1 if index + 1 < job.imported else None,
    }
    is_part = request.headers.get(PART) == "item"
    return _never_kept(render(request, "datasets/_item.html" if is_part else "datasets/item.html", context))


@methods("GET")
@page("read")
def compare_page(request: Asked) -> HttpResponse:
    """Two jobs side by side: `?one=ID&other=ID&only=different&from=ROW`; without both, what may be chosen."""
    one, other = (_chosen(request, name) for name in ("one", "other"))
    context: dict[str, Any] = {
        "one": one,
        "other": other,
        "offered": comparable(request.principal, one),
        "only_different": request.GET.get("only") == "different",
    }
    if one and other:
        begin = Filter.asked(request.GET).begin
        found = compare(one, other, begin=begin, only_different=context["only_different"])
        asked = {"one": one.id, "other": other.id}
        asked |= {"only": "different"} if context["only_different"] else {}
        context |= {
            "sides": [_side(job) for job in (one, other)],
            "found": found,
            "begin": begin,
            "after": urlencode(asked | {"from": found.after}) if found.after is not None else None,
            "first": urlencode(asked) if begin else None,
        }
    return render(request, "datasets/compare.html", context)


def _chosen(request: Asked, name: str) -> Job | None:
    job_id = request.GET.get(name, "")
    return job_or_404(request, job_id) if job_id else None


def _side(job: Job) -> dict[str, Any]:
    status = selectors.detailed_status(job)
    return status | {"mean_s": _mean(status), "options": job.options}


def _mean(status: dict[str, Any]) -> float | None:
    """Seconds from start to end per item: what is compared besides the rate."""
    done, seconds = status["done"], status["duration_s"]
    return seconds / done if done and seconds else None


def _never_kept(response: HttpResponse) -> HttpResponse:
    """A part and the whole page have one address, so no cache may give one for the other."""
    response["Cache-Control"] = "no-store"
    response["Vary"] = PART
    return response
