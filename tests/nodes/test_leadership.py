"""One leader at a time, by the database's clock; what a former leader writes does not count."""

from __future__ import annotations

import threading
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection

from nodes.instances import expire, register
from nodes.leadership import NotLeading, campaign, leading, resign
from nodes.models import Event, Leadership

pytestmark = pytest.mark.django_db

LEAD = "controller"


def stand(instance_id: uuid.UUID) -> int | None:
    return campaign(name=LEAD, instance_id=instance_id)


@pytest.fixture
def two() -> tuple[uuid.UUID, uuid.UUID]:
    """Two living processes."""
    return register(kind="controller").id, register(kind="controller").id


def let_it_run_out() -> None:
    Leadership.objects.update(expires_ms=1)


def test_the_first_leads_and_the_second_stands_by(two: tuple[uuid.UUID, uuid.UUID]) -> None:
    first, second = two
    assert stand(first) == 1
    assert stand(second) is None
    assert stand(first) == 1, "renewing keeps the epoch"


def test_a_lead_that_ran_out_goes_to_whoever_comes_with_a_new_epoch(two: tuple[uuid.UUID, uuid.UUID]) -> None:
    first, second = two
    stand(first)
    let_it_run_out()
    assert stand(second) == 2
    assert stand(first) is None


def test_a_lead_ends_with_its_holders_process(two: tuple[uuid.UUID, uuid.UUID]) -> None:
    first, second = two
    stand(first)
    expire(instance_id=first)
    assert stand(second) == 2


def test_one_who_resigns_is_followed_at_once(two: tuple[uuid.UUID, uuid.UUID]) -> None:
    first, second = two
    stand(first)
    resign(name=LEAD, instance_id=second)
    assert stand(second) is None, "nobody resigns for another"
    resign(name=LEAD, instance_id=first)
    assert stand(second) == 2


def test_different_leads_know_nothing_of_each_other(two: tuple[uuid.UUID, uuid.UUID]) -> None:
    first, second = two
    stand(first)
    assert campaign(name="other", instance_id=second) == 1


def test_a_leaders_write_counts_and_prolongs_the_lead(two: tuple[uuid.UUID, uuid.UUID]) -> None:
    first, second = two
    epoch = stand(first)
    Leadership.objects.update(expires_ms=1)
    with leading(name=LEAD, epoch=epoch or 0):
        Event.objects.create(at_ms=1, topic="t", object_id="kept")
    assert Event.objects.count() == 1
    assert stand(second) is None


def test_a_former_leaders_write_does_not_count(two: tuple[uuid.UUID, uuid.UUID]) -> None:
    first, second = two
    epoch = stand(first)
    let_it_run_out()
    stand(second)
    with pytest.raises(NotLeading), leading(name=LEAD, epoch=epoch or 0):
        raise AssertionError("the block must not run")
    assert not Event.objects.exists()


def test_a_write_that_fails_is_rolled_back(two: tuple[uuid.UUID, uuid.UUID]) -> None:
    epoch = stand(two[0])

    def write_and_fail() -> None:
        with leading(name=LEAD, epoch=epoch or 0):
            Event.objects.create(at_ms=1, topic="t", object_id="gone")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_and_fail()
    assert not Event.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_of_many_who_campaign_at_once_one_leads() -> None:
    instances = [register(kind="controller").id for _ in range(6)]
    start = threading.Barrier(len(instances))

    def run(instance_id: uuid.UUID) -> int | None:
        start.wait()
        try:
            return stand(instance_id)
        finally:
            connection.close()

    with ThreadPoolExecutor(len(instances)) as pool:
        epochs = list(pool.map(run, instances))
    assert sorted(epoch for epoch in epochs if epoch) == [1]
