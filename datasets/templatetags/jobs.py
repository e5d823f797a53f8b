"""Jobs in pages: the latest ones of who is asking, a job's bar, the causes of failures in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django import template
from django.utils.translation import gettext_lazy as _

from datasets import selectors

register = template.Library()

CAUSES = {
    "timeout": _("no answer in time"),
    "engine_error": _("the engine failed at it"),
    "stream_cut": _("the answer broke off"),
    "invalid_reply": _("the answer made no sense"),
    "reply_too_large": _("the answer is too large"),
    "context_length": _("too long for the model"),
    "refused_by_engine": _("the engine refused it"),
    "worker_died": _("workers died at it"),
    "connection_lost": _("connections broke at it"),
    "model_missing": _("no engine has the model"),
}


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a bar, in percent of its length, as SVG's attributes have it."""

    kind: str
    x: str
    width: str


@register.inclusion_tag("datasets/_jobs.html", takes_context=True)
def latest_jobs(context: Mapping[str, Any], count: int = 5) -> dict[str, Any]:
    """The latest jobs that the asking person may see, kept up to date by the page's script."""
    principal = context["request"].principal
    return {
        "jobs": selectors.statuses(list(selectors.jobs_of(principal)[:count])),
        "source": f"/api/v1/jobs/?page_size={count}",
        "shows_owner": principal.may("admin"),
        "may_upload": principal.may("datasets"),
    }


@register.inclusion_tag("datasets/_bar.html")
def bar(job: Mapping[str, Any] | None) -> dict[str, Any]:
    """A job's progress bar; without a job an empty one, for the script to fill."""
    total = job["total"] if job else 0
    segments, x = [], 0.0
    for kind in ("succeeded", "failed", "running"):
        width = 100 * job.get(kind, 0) / total if job and total else 0.0
        segments.append(Segment(kind, f"{x:.3f}%", f"{width:.3f}%"))
        x += width
    return {"segments": segments, "percent": int(100 * job["done"] / total) if job and total else 0}


@register.filter
def cause(code: str) -> str:
    """Why items failed, in words; an unknown code says so itself."""
    return str(CAUSES.get(code, code))


@register.simple_tag
def causes() -> dict[str, str]:
    """All causes in words, for the page's script."""
    return {code: str(words) for code, words in CAUSES.items()}
