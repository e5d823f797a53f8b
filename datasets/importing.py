"""Turns the checked parts of an upload into items and shards, in chunks, in a process of its own.

Each chunk is one transaction under the job's import token, so an importer that was killed is followed by
another that goes on where it stopped, and one that was thought dead writes nothing more.
"""

from __future__ import annotations

import uuid
import zlib
from collections.abc import Callable, Sequence

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from datasets.ledger import finish_job
from datasets.models import Item, ItemInput, Job, Shard, Upload, UploadPart
from datasets.options import JobOptions
from datasets.planning import shard_size
from datasets.states import UNFINISHED, JobState
from datasets.waking import wake_workers
from dpl_site.lib.db import retrying
from dpl_site.lib.packing import pack
from nodes import news
from nodes.instances import owner_is_dead

UNREADABLE = (zlib.error, UnicodeDecodeError, ValueError)
"""What a part raises that was damaged where it is kept."""


class ImportLost(Exception):
    """Another importer has taken over, or the job is gone."""


def claim_import(*, job_id: str, instance_id: uuid.UUID) -> Job | None:
    """The job to import, claimed for this instance; None when somebody alive has it or nothing is left to do."""
    waiting = Job.objects.filter(id=job_id, imported__lt=F("total")).filter(owner_is_dead("importer"))
    if not waiting.update(importer_id=instance_id, import_token=F("import_token") + 1):
        return None
    return Job.objects.get(id=job_id)


def import_all(*, job: Job, is_lost: Callable[[], bool]) -> int:
    """Import what is left of a claimed job; how many rows that were. Raises ImportLost when it was taken away."""
    before = job.imported
    while job.imported < job.total:
        if is_lost():
            raise ImportLost(job.id)
        try:
            retrying(lambda: _import_part(job))
        except UNREADABLE as error:
            fail_import(job=job, reason=f"its rows cannot be read from the database any more ({error})")
            raise ImportLost(job.id) from error
        wake_workers()
    retrying(lambda: _end(job))
    return job.imported - before


def fail_import(*, job: Job, reason: str) -> None:
    """The job itself cannot run: what was imported stays, and may be downloaded. One that has ended stays so."""
    with transaction.atomic():
        ours = Job.objects.filter(id=job.id, import_token=job.import_token, state__in=UNFINISHED)
        if ours.update(
            state=JobState.FAILED, error=reason, finished_at=timezone.now(), version=F("version") + 1
        ):
            news.publish(topic=news.JOB, object_id=job.id)


def _import_part(job: Job) -> None:
    """One part of the upload: its rows become items, its shards are open for work, the part is gone."""
    passed = JobOptions.from_json(job.options).offset
    parts = UploadPart.objects.filter(upload__job=job, first_index__lte=passed + job.imported)
    part = parts.order_by("-first_index").first()
    if part is None:
        raise ImportLost(job.id)
    rows = zlib.decompress(bytes(part.packed)).decode().split("\n")[: part.rows]
    begin = passed - part.first_index
    fresh = rows[begin + job.imported : begin + job.total]
    with transaction.atomic():
        _advance(job, len(fresh))
        size = shard_size(job.total, largest=settings.DPL_SHARD_ITEMS)
        for start in range(0, len(fresh), size):
            _write_shard(job, job.imported + start, fresh[start : start + size])
        part.delete()
        news.publish(topic=news.JOB, object_id=job.id)
    job.imported += len(fresh)


def _advance(job: Job, count: int) -> None:
    ours = Job.objects.filter(id=job.id, import_token=job.import_token, imported=job.imported)
    if not ours.update(imported=F("imported") + count, version=F("version") + 1):
        raise ImportLost(job.id)


def _write_shard(job: Job, first_index: int, rows: Sequence[str]) -> None:
    # The first row's index is unique within the job and sorts like the shards do.
    shard = Shard.objects.create(job=job, index=first_index, first_index=first_index, size=len(rows))
    items = Item.objects.bulk_create(
        [Item(job=job, shard=shard, index=first_index + place) for place in range(len(rows))], batch_size=500
    )
    inputs = []
    for item, raw in zip(items, rows, strict=True):
        text, packed = pack(raw)
        inputs.append(ItemInput(item_id=item.id, text=text, packed=packed))
    ItemInput.objects.bulk_create(inputs, batch_size=500)


def _end(job: Job) -> None:
    with transaction.atomic():
        ours = Job.objects.filter(id=job.id, import_token=job.import_token)
        ours.filter(state=JobState.IMPORTING, started_at__isnull=True).update(state=JobState.QUEUED)
        ours.filter(state=JobState.IMPORTING).update(state=JobState.RUNNING)
        Upload.objects.filter(job=job).delete()
        ours.update(importer=None, version=F("version") + 1)
        news.publish(topic=news.JOB, object_id=job.id)
    finish_job(job_id=job.id)
