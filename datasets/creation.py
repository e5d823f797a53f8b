"""How a job comes to be: from a finished upload, in one transaction with the calls for those who work on it."""

from __future__ import annotations

import uuid
from collections.abc import Iterable

import uuid6
from django.db import transaction
from django.db.models import F, Q, Sum

from datasets.models import Job, Upload, UploadPart
from datasets.options import JobOptions
from datasets.waking import wake_importer, wake_workers
from dpl_site.lib.refusals import Refused
from nodes import news
from nodes.models import Node


def job_create(*, owner_id: int, upload_id: uuid.UUID, name: str, options: JobOptions, rows: int) -> Job:
    """The job of a finished upload of `rows` rows, importing; importer and workers are called with it.

    `options.offset` passes rows over, `options.limit` cuts it short. Raises Refused for nodes that there are not,
    and when no row is left.
    """
    check_nodes(options.nodes)
    total = rows_wanted(rows, options)
    with transaction.atomic():
        # Held, so that nobody prunes it while its job is being made.
        Upload.objects.select_for_update().filter(id=upload_id).first()
        stored = UploadPart.objects.filter(upload_id=upload_id).aggregate(rows=Sum("rows"))["rows"]
        if not rows or stored != rows:
            raise Refused("This upload is not complete. Send the file again.", code="upload_lost", status=409)
        wanted = Q(first_index__lt=options.offset + total, first_index__gt=options.offset - F("rows"))
        UploadPart.objects.filter(upload_id=upload_id).exclude(wanted).delete()
        job = Job.objects.create(
            id=str(uuid6.uuid7()),
            owner_id=owner_id,
            name=name,
            options=options.to_json(),
            total=total,
            upload_id=upload_id,
        )
        news.publish(topic=news.JOB, object_id=job.id)
        wake_importer(job_id=job.id)
        wake_workers()
    return job


def rows_wanted(rows: int, options: JobOptions) -> int:
    """How many of a file's rows the options choose. Raises Refused when that is none."""
    left = rows - options.offset
    if rows and left < 1:
        message = f"offset is {options.offset}, but the file has {rows} rows: none is left to run."
        raise Refused(message, code="bad_option", detail={"field": "offset"})
    return min(left, options.limit or left)


def check_nodes(node_ids: Iterable[int]) -> None:
    """Raise Refused when one of these nodes is not there, naming those that are."""
    wanted = set(node_ids)
    live = Node.objects.filter(archived_at__isnull=True)
    missing = wanted - set(live.filter(id__in=wanted).values_list("id", flat=True))
    if missing:
        there = ", ".join(f"{node.id} ({node.name})" for node in live.order_by("id")[:20]) or "none"
        message = f"There is no node {min(missing)}. There are: {there}."
        raise Refused(message, code="bad_option", detail={"field": "nodes"})
