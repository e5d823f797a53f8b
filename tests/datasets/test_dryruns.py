"""Dry runs: out of the way unless asked for, and gone after their hours."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import User
from datasets.models import Item, ItemInput, Job
from datasets.services import prune_tries
from datasets.states import JobState
from tests.datasets.making import a_job
from tests.datasets.test_pages import browser, owned, seen

pytestmark = pytest.mark.django_db


def tried(hours_ago: float, state: JobState = JobState.COMPLETED, **changes: object) -> Job:
    """A dry run of that age."""
    job = a_job(3)
    Job.objects.filter(id=job.id).update(
        options=job.options | {"dry_run": True},
        created_at=timezone.now() - timedelta(hours=hours_ago),
        state=state,
        **changes,
    )
    return Job.objects.get(id=job.id)


def test_old_ones_go_with_their_rows_and_others_stay() -> None:
    tried(25)
    whole = a_job(2)
    Job.objects.filter(id=whole.id).update(
        created_at=timezone.now() - timedelta(days=99), state=JobState.COMPLETED
    )
    young = tried(23)
    assert prune_tries() == 1
    assert set(Job.objects.values_list("id", flat=True)) == {whole.id, young.id}
    assert Item.objects.count() == ItemInput.objects.count() == 5
    assert prune_tries() == 0


def test_one_that_never_ends_is_stopped_first() -> None:
    tried(25, JobState.RUNNING)
    assert prune_tries() == 1
    assert not Job.objects.exists()


@pytest.mark.parametrize("path", ["/jobs/", "/jobs/compare/", "/"])
def test_pages_leave_them_out(people: dict[str, User], path: str) -> None:
    owned(tried(1), people["otto"], name="the trial")
    owned(a_job(2), people["otto"], name="the whole")
    page = seen(browser(people["otto"]).get(path))
    assert "the whole" in page
    assert "the trial" not in page


def test_they_are_listed_where_they_are_asked_for(people: dict[str, User]) -> None:
    owned(tried(1), people["otto"], name="the trial")
    client: Client = browser(people["otto"])
    page = seen(client.get("/jobs/?dry_runs=yes"))
    assert "the trial" in page
    assert "&amp;dry_runs=yes" in page
    assert "dry_runs=no" in seen(client.get("/jobs/"))
    for query, count in (("", 1), ("?dry_runs=no", 0), ("?dry_runs=yes", 1)):
        assert client.get(f"/api/v1/jobs/{query}").json()["count"] == count
