"""Wake-ups: as many as there is use for, and rows of the same database."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django_q.models import OrmQ

from datasets.waking import prune_delivered, wake_importer, wake_workers
from tests.datasets.making import an_instance

pytestmark = pytest.mark.django_db


def test_it_calls_as_many_drains_as_the_workers_can_run_and_no_more() -> None:
    an_instance("worker")
    assert wake_workers() == settings.DPL_DRAINS
    assert wake_workers() == 0


def test_drains_that_live_need_no_call() -> None:
    an_instance("worker")
    an_instance("drain")
    assert wake_workers() == settings.DPL_DRAINS - 1


def test_a_call_goes_with_the_callers_transaction() -> None:
    with transaction.atomic():
        wake_workers()
        transaction.set_rollback(True)
    assert OrmQ.objects.count() == 0


def test_a_call_that_was_delivered_and_came_to_nothing_is_repeated_after_a_moment() -> None:
    wake_workers()
    retry = timedelta(seconds=float(str(settings.Q_CLUSTER["retry"])))
    OrmQ.objects.update(lock=timezone.now() + retry)
    assert wake_workers() == 0
    OrmQ.objects.update(lock=timezone.now() + retry - timedelta(seconds=5))
    assert wake_workers() == settings.DPL_DRAINS


def test_calls_delivered_long_ago_are_removed_and_waiting_ones_stay() -> None:
    wake_workers()
    retry = timedelta(seconds=float(str(settings.Q_CLUSTER["retry"])))
    first = OrmQ.objects.first()
    assert first is not None
    OrmQ.objects.filter(id=first.id).update(lock=timezone.now() + retry - timedelta(minutes=2))
    assert prune_delivered() == 1
    assert OrmQ.objects.count() == settings.DPL_DRAINS - 1


def test_an_importer_is_called_once_for_a_job_however_often_it_is_wanted() -> None:
    for _ in range(3):
        wake_importer(job_id="first")
    wake_importer(job_id="second")
    assert [message.task["args"] for message in OrmQ.objects.order_by("id")] == [("first",), ("second",)]


def test_importers_that_are_called_hold_back_no_drain() -> None:
    an_instance("worker")
    for number in range(settings.DPL_DRAINS):
        wake_importer(job_id=f"job {number}")
    assert wake_workers() == settings.DPL_DRAINS
