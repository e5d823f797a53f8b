"""The import: every row becomes one item in its place, whoever is killed on the way."""

from __future__ import annotations

import uuid

import pytest

from datasets import importing
from datasets.creation import job_create
from datasets.importing import ImportLost, claim_import, import_all
from datasets.models import Item, ItemInput, Job, Shard, Upload, UploadPart
from datasets.options import JobOptions
from datasets.states import JobState
from dpl_site.lib.packing import unpack
from nodes.instances import expire
from tests.datasets.making import an_instance, an_uploaded_job, rows

pytestmark = pytest.mark.django_db


def never() -> bool:
    return False


def test_each_row_becomes_one_item_in_its_place_and_the_upload_is_gone() -> None:
    texts = rows(450)
    texts[7] = '{"instruction": "' + "长" * 5000 + '", "n": 1.10}'
    job = an_uploaded_job(texts, part_rows=200)
    claimed = claim_import(job_id=job.id, instance_id=an_instance("import").id)
    assert claimed is not None
    assert import_all(job=claimed, is_lost=never) == 450
    job.refresh_from_db()
    assert (job.imported, job.state) == (450, JobState.QUEUED)
    inputs = ItemInput.objects.order_by("item__index").values_list("text", "packed")
    assert [unpack(*one) for one in inputs] == texts
    assert (Upload.objects.count(), UploadPart.objects.count()) == (0, 0)
    sizes = list(Shard.objects.filter(job=job).order_by("index").values_list("first_index", "size"))
    assert [first for first, _ in sizes] == [sum(size for _, size in sizes[:n]) for n in range(len(sizes))]


def test_only_as_many_rows_as_the_job_wants_are_imported() -> None:
    job = an_uploaded_job(rows(450), part_rows=200)
    Job.objects.filter(id=job.id).update(total=250)
    claimed = claim_import(job_id=job.id, instance_id=an_instance("import").id)
    assert claimed is not None
    import_all(job=claimed, is_lost=never)
    assert list(Item.objects.order_by("index").values_list("index", flat=True)) == list(range(250))
    assert UploadPart.objects.count() == 0


@pytest.mark.parametrize(("offset", "limit"), [(0, None), (3, 5), (200, 10), (399, None), (449, None)])
def test_a_range_of_rows_is_imported_and_nothing_else_is_kept(offset: int, limit: int | None) -> None:
    texts = rows(450)
    whole = an_uploaded_job(texts, part_rows=200)
    job = job_create(
        owner_id=whole.owner_id,
        upload_id=whole.upload_id or uuid.uuid4(),
        name="some",
        options=JobOptions(offset=offset, limit=limit),
        rows=450,
    )
    whole.delete()
    claimed = claim_import(job_id=job.id, instance_id=an_instance("import").id)
    assert claimed is not None
    import_all(job=claimed, is_lost=never)
    inputs = ItemInput.objects.order_by("item__index").values_list("text", flat=True)
    assert list(inputs) == texts[offset : offset + limit if limit else None]
    assert list(Item.objects.order_by("index").values_list("index", flat=True)) == list(range(job.total))
    assert UploadPart.objects.count() == 0


def test_an_importer_that_died_is_followed_by_one_that_goes_on_where_it_stopped() -> None:
    job = an_uploaded_job(rows(450), part_rows=200)
    victim = an_instance("import")
    claimed = claim_import(job_id=job.id, instance_id=victim.id)
    assert claimed is not None
    importing._import_part(claimed)
    assert claim_import(job_id=job.id, instance_id=an_instance("import").id) is None
    expire(instance_id=victim.id)
    heir = claim_import(job_id=job.id, instance_id=an_instance("import").id)
    assert heir is not None
    assert import_all(job=heir, is_lost=never) == 250
    assert list(Item.objects.order_by("index").values_list("index", flat=True)) == list(range(450))
    with pytest.raises(ImportLost):
        importing._import_part(claimed)
    assert Item.objects.count() == 450


def test_it_ends_when_it_is_lost() -> None:
    job = an_uploaded_job(rows(10))
    claimed = claim_import(job_id=job.id, instance_id=an_instance("import").id)
    assert claimed is not None
    with pytest.raises(ImportLost):
        import_all(job=claimed, is_lost=lambda: True)


def test_a_finished_import_is_nobodys_to_claim() -> None:
    job = an_uploaded_job(rows(3))
    claimed = claim_import(job_id=job.id, instance_id=an_instance("import").id)
    assert claimed is not None
    import_all(job=claimed, is_lost=never)
    assert claim_import(job_id=job.id, instance_id=an_instance("import").id) is None


def test_an_upload_that_was_damaged_where_it_is_kept_fails_the_job_and_says_why() -> None:
    job = an_uploaded_job(rows(450), part_rows=200)
    UploadPart.objects.filter(sequence=1).update(packed=b"no deflate")
    claimed = claim_import(job_id=job.id, instance_id=an_instance("import").id)
    assert claimed is not None
    with pytest.raises(ImportLost):
        import_all(job=claimed, is_lost=never)
    job.refresh_from_db()
    assert (job.state, job.imported) == (JobState.FAILED, 200)
    assert "cannot be read" in job.error


def test_an_import_that_fails_leaves_a_job_that_has_ended_as_it_is() -> None:
    job = an_uploaded_job(rows(450), part_rows=200)
    UploadPart.objects.filter(sequence=0).update(packed=b"no deflate")
    claimed = claim_import(job_id=job.id, instance_id=an_instance("import").id)
    assert claimed is not None
    Job.objects.filter(id=job.id).update(state=JobState.STOPPED)
    with pytest.raises(ImportLost):
        import_all(job=claimed, is_lost=never)
    job.refresh_from_db()
    assert (job.state, job.error) == (JobState.STOPPED, "")
