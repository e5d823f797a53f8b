"""Why a job waits, in words."""

from __future__ import annotations

import pytest
from django.utils import translation

from datasets.models import Job
from datasets.selectors import detailed_status
from datasets.waiting import waiting_reason
from inference.models import EngineStatus
from tests.datasets.making import a_job, an_engine, an_instance

pytestmark = pytest.mark.django_db


def test_without_an_engine_it_says_how_to_add_one() -> None:
    assert "manage.py node add" in str(waiting_reason(a_job(1)))


def test_it_names_what_is_wrong_on_each_node_the_same_together() -> None:
    for name in ("a", "b", "c", "d"):
        an_engine(name, models=("other",))
    EngineStatus.objects.filter(engine__node__name="d").update(is_online=False, reason="nothing listens")
    reason = str(waiting_reason(a_job(1, model="m")))
    assert reason == (
        "No engine may take its items now. a, b, c: does not have m; d: offline: nothing listens."
    )


def test_without_a_worker_it_says_how_to_start_one() -> None:
    an_engine("a")
    job = a_job(1)
    assert "manage.py worker" in str(waiting_reason(job))
    an_instance("worker")
    assert waiting_reason(job) is None


def test_the_detailed_status_tells_it_while_items_are_left_and_none_runs() -> None:
    job = a_job(1)
    assert detailed_status(job)["waiting"]
    Job.objects.filter(id=job.id).update(state="stopped")
    assert detailed_status(Job.objects.get(id=job.id))["waiting"] is None


def test_it_speaks_the_readers_language() -> None:
    for name in ("a", "b", "c", "d"):
        an_engine(name, models=("other",))
    with translation.override("zh-hans"):
        reason = str(waiting_reason(a_job(1, model="{0}")))
    assert reason == "目前没有引擎可以处理它的条目。a, b, c 等另外 1 台: 没有 {0}。"
