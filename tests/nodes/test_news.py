"""Events: published with the rows they tell of, read in order, pruned by age."""

from __future__ import annotations

import pytest
from django.db import transaction

from nodes import news
from nodes.models import Event

pytestmark = pytest.mark.django_db


def test_it_tells_in_order_what_came_after() -> None:
    assert news.last_id() == 0
    news.publish(topic=news.CLUSTER, object_id=7, version=3, payload="lock")
    first = news.last_id()
    news.publish(topic=news.JOB, object_id="job-1")
    news.publish(topic=news.CLUSTER, object_id="tick")
    told = [(one.topic, one.object_id, one.version, one.payload) for one in news.since(0)]
    assert told == [("cluster", "7", 3, "lock"), ("job", "job-1", 0, ""), ("cluster", "tick", 0, "")]
    assert [one.object_id for one in news.since(first)] == ["job-1", "tick"]
    assert [one.object_id for one in news.since(first, limit=1)] == ["job-1"]
    assert news.since(news.last_id()) == []


def test_what_is_rolled_back_is_no_news() -> None:
    with transaction.atomic():
        news.publish(topic=news.JOB, object_id="job-1")
        transaction.set_rollback(True)
    assert news.last_id() == 0


def test_a_long_payload_is_cut() -> None:
    news.publish(topic=news.JOB, object_id="job-1", payload="x" * 5000)
    assert len(news.since(0)[0].payload) == 2000


def test_old_events_are_pruned_by_the_databases_clock() -> None:
    news.publish(topic=news.JOB, object_id="old")
    Event.objects.update(at_ms=1_000)
    news.publish(topic=news.JOB, object_id="new")
    assert news.prune(older_than_ms=60_000) == 1
    assert [one.object_id for one in news.since(0)] == ["new"]


def test_ids_are_not_used_again_after_pruning() -> None:
    news.publish(topic=news.JOB, object_id="old")
    newest = news.last_id()
    Event.objects.update(at_ms=1_000)
    news.prune(older_than_ms=60_000)
    news.publish(topic=news.JOB, object_id="new")
    assert [one.object_id for one in news.since(newest)] == ["new"]
