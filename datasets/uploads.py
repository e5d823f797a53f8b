"""Uploads while they arrive: rows are packed into parts and stored, and dropped whole when anything goes wrong."""

from __future__ import annotations

import uuid
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from datasets.models import Upload, UploadPart
from nodes.instances import owner_is_dead

PART_ROWS = 300
PART_CHARACTERS = 512 * 1024
UNOWNED_FOR = timedelta(hours=1)
"""How long an upload that no known process receives may take."""
OWNED_FOR = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Part:
    """Some hundred rows, one JSON text a line, deflated."""

    sequence: int
    first_index: int
    rows: int
    packed: bytes


class Packer:
    """Gathers checked rows into parts of at most PART_ROWS rows and about PART_CHARACTERS characters."""

    def __init__(self) -> None:
        self.rows = 0
        self._parts = 0
        self._texts: list[str] = []
        self._characters = 0

    def add(self, texts: Iterable[str]) -> list[Part]:
        """Take rows, each on one line; the parts that became full."""
        full = []
        for text in texts:
            if self._characters + len(text) > PART_CHARACTERS or len(self._texts) == PART_ROWS:
                full += self.rest()
            self._texts.append(text)
            self._characters += len(text)
        return full

    def rest(self) -> list[Part]:
        """What is left as a part, when anything is."""
        if not self._texts:
            return []
        packed = zlib.compress("\n".join(self._texts).encode(), 1)
        part = Part(self._parts, self.rows, len(self._texts), packed)
        self._parts += 1
        self.rows += len(self._texts)
        self._texts, self._characters = [], 0
        return [part]


def upload_begin(*, owner_id: int, instance_id: uuid.UUID | None) -> uuid.UUID:
    """A new, empty upload; `instance_id` is the process that receives it, when it is a registered one."""
    return Upload.objects.create(owner_id=owner_id, instance_id=instance_id).id


def parts_store(*, upload_id: uuid.UUID, parts: Sequence[Part]) -> None:
    """Store parts in one short transaction."""
    rows = [
        UploadPart(
            upload_id=upload_id,
            sequence=part.sequence,
            first_index=part.first_index,
            rows=part.rows,
            packed=part.packed,
        )
        for part in parts
    ]
    with transaction.atomic():
        UploadPart.objects.bulk_create(rows)


def upload_drop(*, upload_id: uuid.UUID) -> None:
    """Remove an upload with its parts, unless a job has come of it."""
    _remove([upload_id])


def prune_uploads() -> int:
    """Remove uploads without a job whose process has ended, or that take impossibly long; how many."""
    now = timezone.now()
    unowned = Q(instance__isnull=True) & Q(created_at__lt=now - UNOWNED_FOR)
    orphaned = Q(instance__isnull=False) & owner_is_dead("instance")
    endless = Q(created_at__lt=now - OWNED_FOR)
    left = Upload.objects.filter(job__isnull=True).filter(unowned | orphaned | endless)
    return _remove(left.values_list("id", flat=True))


def _remove(upload_ids: Iterable[uuid.UUID]) -> int:
    removed = 0
    for upload_id in list(upload_ids):
        with transaction.atomic():
            upload = Upload.objects.select_for_update().filter(id=upload_id).first()
            if upload is not None and not upload.job_set.exists():
                UploadPart.objects.filter(upload=upload).delete()
                upload.delete()
                removed += 1
    return removed
