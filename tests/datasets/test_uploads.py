"""How an upload is kept while it arrives, and what is left of one that was cut: nothing."""

from __future__ import annotations

import uuid
import zlib
from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.models import User
from datasets.models import Upload, UploadPart
from datasets.options import JobOptions
from datasets.services import job_create
from datasets.uploads import (
    PART_CHARACTERS,
    PART_ROWS,
    Packer,
    parts_store,
    prune_uploads,
    upload_begin,
    upload_drop,
)
from nodes.instances import expire
from tests.datasets.making import an_instance

pytestmark = pytest.mark.django_db


def otto() -> int:
    return User.objects.get_or_create(username="otto")[0].pk


def an_upload(*, instance_id: uuid.UUID | None = None, rows: int = 3) -> uuid.UUID:
    upload_id = upload_begin(owner_id=otto(), instance_id=instance_id)
    packer = Packer()
    parts = packer.add(f'{{"id":{index}}}' for index in range(rows)) + packer.rest()
    parts_store(upload_id=upload_id, parts=parts)
    return upload_id


def test_it_packs_rows_into_parts_that_follow_each_other() -> None:
    packer = Packer()
    texts = [f'{{"id":{index}}}' for index in range(2 * PART_ROWS + 5)]

    parts = packer.add(texts[:7]) + packer.add(texts[7:]) + packer.rest()

    assert [(part.sequence, part.first_index, part.rows) for part in parts] == [
        (0, 0, PART_ROWS),
        (1, PART_ROWS, PART_ROWS),
        (2, 2 * PART_ROWS, 5),
    ]
    assert [line for part in parts for line in zlib.decompress(part.packed).decode().split("\n")] == texts
    assert packer.rest() == []


def test_it_bounds_a_part_by_its_text_too_and_keeps_a_larger_row_by_itself() -> None:
    packer = Packer()
    long = "x" * (PART_CHARACTERS // 2)

    parts = packer.add([long, long, "y", "z" * (2 * PART_CHARACTERS), "w"]) + packer.rest()

    assert [part.rows for part in parts] == [2, 1, 1, 1]


def test_it_drops_an_upload_with_its_parts() -> None:
    upload_id = an_upload(rows=700)
    assert UploadPart.objects.count() == 3

    upload_drop(upload_id=upload_id)

    assert not Upload.objects.exists()
    assert not UploadPart.objects.exists()


def test_it_keeps_an_upload_that_a_job_has_come_of() -> None:
    upload_id = an_upload()
    job_create(owner_id=otto(), upload_id=upload_id, name="x", options=JobOptions(), rows=3)

    upload_drop(upload_id=upload_id)

    assert (prune_uploads(), UploadPart.objects.count()) == (0, 1)


def test_it_prunes_uploads_whose_process_has_ended() -> None:
    living, dead = an_instance("web"), an_instance("web")
    kept = an_upload(instance_id=living.id)
    an_upload(instance_id=dead.id)
    expire(instance_id=dead.id)

    assert prune_uploads() == 1
    assert list(Upload.objects.values_list("id", flat=True)) == [kept]
    assert UploadPart.objects.count() == 1


@pytest.mark.parametrize(
    ("is_owned", "age", "is_pruned"),
    [
        (False, timedelta(minutes=59), 0),
        (False, timedelta(minutes=61), 1),
        (True, timedelta(minutes=61), 0),
        (True, timedelta(hours=25), 1),
    ],
)
def test_it_prunes_uploads_that_take_impossibly_long(is_owned: bool, age: timedelta, is_pruned: int) -> None:
    upload_id = an_upload(instance_id=an_instance("web").id if is_owned else None)
    Upload.objects.filter(id=upload_id).update(created_at=timezone.now() - age)

    assert prune_uploads() == is_pruned
