"""The reconciler: every unfinished job moves on from rows alone."""

from __future__ import annotations

import pytest
from django_q.models import OrmQ

from datasets.claims import claim_shard
from datasets.importing import claim_import
from datasets.models import Job, Shard
from datasets.reconcile import reconcile
from datasets.states import JobState, ShardState
from inference import slots
from nodes.instances import expire
from nodes.locks import lock_node
from nodes.models import NodeLock
from tests.datasets.making import a_job, an_engine, an_instance, an_uploaded_job, rows

pytestmark = pytest.mark.django_db


def test_a_job_whose_last_writer_died_before_completing_it_is_completed() -> None:
    job = a_job(8)
    Shard.objects.filter(job=job).update(state=ShardState.DONE, succeeded=8)
    Job.objects.filter(id=job.id).update(state=JobState.RUNNING)
    reconcile()
    assert Job.objects.get(id=job.id).state == JobState.COMPLETED


def test_a_stopping_job_is_stopped_when_no_living_process_has_a_shard_of_it() -> None:
    job = a_job(8)
    owner = an_instance()
    claim_shard(instance_id=owner.id)
    Job.objects.filter(id=job.id).update(state=JobState.STOPPING, stop_mode="drain")
    reconcile()
    assert Job.objects.get(id=job.id).state == JobState.STOPPING
    expire(instance_id=owner.id)
    reconcile()
    job.refresh_from_db()
    assert (job.state, job.stop_mode) == (JobState.STOPPED, "")


def test_shards_of_a_dead_owner_wake_the_workers() -> None:
    a_job(8)
    owner = an_instance()
    claim_shard(instance_id=owner.id)
    OrmQ.objects.all().delete()
    reconcile()
    assert OrmQ.objects.count() == 0
    expire(instance_id=owner.id)
    reconcile()
    assert OrmQ.objects.count() > 0


def test_an_import_that_nobody_does_is_called_for() -> None:
    an_uploaded_job(rows(8))
    reconcile()
    assert OrmQ.objects.count() == 1


def test_each_import_is_judged_by_its_own_importer() -> None:
    busy = an_uploaded_job(rows(8))
    assert claim_import(job_id=busy.id, instance_id=an_instance("import").id)
    orphan = an_uploaded_job(rows(8))
    reconcile()
    assert [message.task["args"] for message in OrmQ.objects.all()] == [(orphan.id,)]


def test_an_import_that_nobody_can_take_is_not_called_for_again_and_again() -> None:
    an_uploaded_job(rows(8))
    for _ in range(5):
        reconcile()
    assert OrmQ.objects.count() == 1


def test_an_exclusive_job_locks_free_nodes_and_frees_them_at_its_end() -> None:
    free, taken = an_engine("fast"), an_engine("slow")
    busy = an_instance("web")
    slots.claim(engine_ids=[taken.id], instance_id=busy.id, work_class=slots.INTERACTIVE)
    job = a_job(8, exclusive=True)
    reconcile()
    assert list(NodeLock.objects.values_list("node_id", "job_id")) == [(free.node_id, job.id)]
    slots.free_dead_leases()
    expire(instance_id=busy.id)
    reconcile()
    assert NodeLock.objects.filter(job_id=job.id).count() == 2
    Job.objects.filter(id=job.id).update(state=JobState.STOPPED)
    reconcile()
    assert NodeLock.objects.count() == 0


def test_an_exclusive_job_leaves_a_persons_node_alone() -> None:
    engine = an_engine("fast")
    lock_node(node_id=engine.node_id, by="person", owner="wang", reason="mine", ttl_s=600, actor="wang")
    a_job(8, exclusive=True)
    reconcile()
    assert NodeLock.objects.get().owner == "wang"
