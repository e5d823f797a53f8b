"""A job's pace: each recorded item counts once, in the step in which it ended."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from datasets.models import Item, Job
from datasets.pace import POINTS, pace
from tests.datasets.making import a_job

pytestmark = pytest.mark.django_db

START = 1_800_000_000_000


def lasted(job: Job, seconds: int) -> Job:
    moments = [datetime.fromtimestamp(START / 1000 + more, UTC) for more in (0, seconds)]
    Job.objects.filter(id=job.id).update(state="completed", started_at=moments[0], finished_at=moments[1])
    return Job.objects.get(id=job.id)


def test_a_job_that_has_not_begun_has_no_pace() -> None:
    assert pace(a_job(2))["t"] == []


@pytest.mark.parametrize("seconds", [3, 60, 100_000])
def test_every_item_counts_once_in_few_steps(seconds: int) -> None:
    job = lasted(a_job(40), seconds)
    for item in Item.objects.filter(job=job):
        ended = START + item.index * seconds * 1000 // 40
        state = "failed" if item.index % 4 else "succeeded"
        Item.objects.filter(id=item.id).update(state=state, finished_ms=ended)
    found = pace(job)
    assert len(found["t"]) == len(found["per_second"]) <= POINTS + 2
    assert sum(found["per_second"]) * found["step_ms"] / 1000 == pytest.approx(40, rel=0.05)
    assert found["t"] == sorted(found["t"])
