"""Transactions that meet on PostgreSQL: one waits for the other, never each for the other. SQLite has one writer."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest
from django.db import connection, transaction
from django.db.models import F

from datasets import importing, retries
from datasets.claims import claim_shard
from datasets.importing import claim_import
from datasets.ledger import Outcome, commit, finish_job
from datasets.models import Job, Shard
from datasets.states import ItemState, JobState
from tests.datasets.making import a_job, an_instance, an_uploaded_job, rows

pytestmark = pytest.mark.django_db(transaction=True)

WAIT_S = 10.0


@pytest.fixture(autouse=True)
def _only_where_writers_meet() -> None:
    if connection.vendor != "postgresql":
        pytest.skip("two writers meet on PostgreSQL only")


class Beside:
    """A transaction in a thread and connection of its own, held open after its first step until somebody waits."""

    def __init__(self, first: Callable[[], object], then: Callable[[], object]) -> None:
        self._first, self._then = first, then
        self.holds = threading.Event()
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        assert self.holds.wait(WAIT_S)

    def join(self) -> None:
        """Wait for its end; raises what it raised."""
        self._thread.join(WAIT_S)
        if self.error is not None:
            raise self.error

    def _run(self) -> None:
        try:
            with transaction.atomic():
                self._first()
                self.holds.set()
                self._until_somebody_waits()
                self._then()
        except BaseException as error:
            self.error = error
        finally:
            self.holds.set()
            connection.close()

    def _until_somebody_waits(self) -> None:
        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline:
            with connection.cursor() as cursor:
                cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
                if cursor.fetchone()[0]:
                    return
            time.sleep(0.01)
        raise AssertionError("nobody came to wait for this transaction")


@pytest.fixture
def failed_job() -> Job:
    """A job that ended with failures in each of its shards."""
    job = a_job(24)
    while (claim := claim_shard(instance_id=an_instance().id)) is not None:
        outcomes = [
            Outcome(one.item_id, claim.shard_id, job.id, claim.token, ItemState.FAILED, attempts=1, losses=0)
            for one in claim.work
        ]
        commit(dispatches=[], outcomes=outcomes)
    return Job.objects.get(id=job.id)


def test_a_retry_and_a_worker_that_has_a_shard_and_wants_the_job(failed_job: Job) -> None:
    shard_id = Shard.objects.filter(job=failed_job).values_list("id", flat=True)[0]
    worker = Beside(
        lambda: Shard.objects.filter(id=shard_id).update(claims=F("claims") + 1),
        lambda: Job.objects.filter(id=failed_job.id).update(version=F("version") + 1),
    )
    assert retries._retry_some(failed_job.id, [shard_id], is_first=True)
    worker.join()
    assert Job.objects.get(id=failed_job.id).state == JobState.QUEUED


def test_the_last_part_of_an_import_and_a_worker_that_finishes_the_job() -> None:
    job = an_uploaded_job(rows(8), part_rows=8)
    claimed = claim_import(job_id=job.id, instance_id=an_instance("import").id)
    assert claimed is not None
    worker = Beside(lambda: Job.objects.select_for_update().get(id=job.id), lambda: finish_job(job_id=job.id))
    importing._import_part(claimed)
    worker.join()
    importing._end(claimed)
    job.refresh_from_db()
    assert (job.state, job.imported) == (JobState.QUEUED, 8)
    assert not finish_job(job_id=job.id)


def test_a_worker_that_finishes_the_job_in_the_middle_of_an_imports_last_part(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    job = an_uploaded_job(rows(8), part_rows=8)
    claimed = claim_import(job_id=job.id, instance_id=an_instance("import").id)
    assert claimed is not None
    advance = importing._advance
    monkeypatch.setattr(importing, "_advance", lambda *given: None)
    importer = Beside(lambda: advance(claimed, 8), lambda: importing._import_part(claimed))
    assert not finish_job(job_id=job.id)
    importer.join()
    assert Shard.objects.filter(job=job).count() > 0
