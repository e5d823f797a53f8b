"""Reads of jobs: who may see which, how far each is, what its items are."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db.models import QuerySet

from accounts.authentication import Principal
from datasets import statistics
from datasets.models import Item, Job
from datasets.moves import ENDED, unknown_job
from datasets.progress import RATE_WINDOW_S, NodeSums, Recent, Span, eta_s, node_view, rates
from datasets.states import WORKABLE, ItemState
from datasets.waiting import waiting_reason
from dpl_site.lib.clock import iso
from dpl_site.lib.db import now_ms
from nodes.models import Node

_ID = re.compile(r"[0-9a-f-]{1,36}")


def jobs_of(principal: Principal, *, username: str | None = None) -> QuerySet[Job]:
    """The jobs that a principal may see, newest first: his own, with the admin scope everybody's."""
    found = Job.objects.select_related("owner").order_by("-id")
    if not principal.may("admin"):
        found = found.filter(owner_id=principal.user_id)
    return found.filter(owner__username=username) if username else found


def job_for(principal: Principal, job_id: str) -> Job:
    """The job, when the principal may see it. Raises Refused (404) otherwise, as for one that there is not."""
    job = jobs_of(principal).filter(id=job_id).first() if _ID.fullmatch(job_id) else None
    if job is None:
        raise unknown_job(job_id)
    return job


def status(job: Job) -> dict[str, Any]:
    """How far a job is, in short; one statement."""
    return statuses([job])[0]


def statuses(jobs: Sequence[Job]) -> list[dict[str, Any]]:
    """How far each of some jobs is, in short; one statement for all."""
    recorded = statistics.recorded([job.id for job in jobs])
    return [_brief(job, *recorded.get(job.id, (0, 0))) for job in jobs]


def _brief(job: Job, succeeded: int, failed: int) -> dict[str, Any]:
    done = succeeded + failed
    return {
        "job_id": job.id,
        "name": job.name,
        "owner": job.owner.username,
        "model": job.options.get("model") or "auto",
        "dry_run": bool(job.options.get("dry_run")),
        "status": job.state,
        "error": job.error or None,
        "total": job.total,
        "succeeded": succeeded,
        "failed": failed,
        "done": done,
        "progress": round(done / job.total, 6) if job.total else 0.0,
        "importing": {"imported": job.imported, "total": job.total} if job.imported < job.total else None,
        "created_at": iso(job.created_at),
        "finished_at": iso(job.finished_at),
    }


def detailed_status(job: Job) -> dict[str, Any]:
    """How far a job is, with its speed, its nodes and its errors; eight statements at most, at any size."""
    brief = status(job)
    now = now_ms()
    span = span_of(job, now)
    sums = statistics.node_sums(job)
    running = sum(one.running for one in sums)
    rate, tokens_rate = rates(span, _recent(job, sums, span))
    left = job.total - brief["done"]
    return brief | {
        "pending": max(left - running, 0),
        "running": running,
        "waiting": waiting_reason(job) if left and not running and job.state in WORKABLE else None,
        "started_at": iso(job.started_at),
        "duration_s": round(span.seconds, 3) if span else None,
        "rate_per_s": rate,
        "eta_s": eta_s(left=left, rate_per_s=rate, is_running=bool(span and span.is_running)),
        "tokens": {
            "prompt": sum(one.tokens_in for one in sums),
            "completion": sum(one.tokens_out for one in sums),
        },
        "tokens_per_second": tokens_rate,
        "late_results_refused": job.late_results_refused,
        "restarted_after_kill": sum(one.restarts for one in sums),
        "nodes": _node_views(job, sums, span),
        "errors": statistics.error_groups(job) if brief["failed"] else [],
        "version": job.version,
    }


def span_of(job: Job, now: int) -> Span | None:
    """The time that a job has run, or None before its first item did; `now` in epoch milliseconds."""
    if job.started_at is None:
        return None
    if job.state in ENDED and job.finished_at is not None:
        return Span(_ms(job.started_at), _ms(job.finished_at), is_running=False)
    return Span(_ms(job.started_at), now, is_running=True)


def items_of(
    job: Job, *, state: str = "", node_id: int | None = None, cause: str = "", with_text: bool = False
) -> QuerySet[Item]:
    """A job's items in input order, filtered; with their texts when those are wanted."""
    items = Item.objects.filter(job=job).select_related("node").order_by("index")
    if with_text:
        items = items.select_related("input", "output")
    if state:
        items = items.filter(state=ItemState(state))
    if node_id is not None:
        items = items.filter(node_id=node_id)
    return items.filter(cause=cause) if cause else items


def _recent(job: Job, sums: list[NodeSums], span: Span | None) -> Recent:
    """What rates are taken from: the last minute's items, or all of an ended job."""
    if span is not None and span.is_running and sums:
        return statistics.lately(job, sums, since_ms=round(span.end_ms - RATE_WINDOW_S * 1000))
    done = sum(one.succeeded + one.failed for one in sums)
    return Recent(done, sum(one.tokens_out for one in sums))


def _node_views(job: Job, sums: list[NodeSums], span: Span | None) -> list[dict[str, Any]]:
    if not sums:
        return []
    ids = [one.node_id for one in sums]
    names = dict(Node.objects.filter(id__in=ids).values_list("id", "name"))
    slots = statistics.slots_by_node(ids)
    succeeded = sum(one.succeeded for one in sums)
    return [
        node_view(
            one,
            name=names.get(one.node_id, f"node {one.node_id}"),
            slots=slots.get(one.node_id, 1),
            span=span,
            all_succeeded=succeeded,
        )
        for one in statistics.with_samples(job, sums)
    ]


def _ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)
