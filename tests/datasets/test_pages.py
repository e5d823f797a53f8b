"""The pages of jobs as each role gets them: the list, the upload form with its errors, one job, its buttons."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from pytest_django import Settings

from accounts.models import User
from datasets.models import Item, Job, Shard, Upload
from datasets.options import JobOptions
from datasets.templatetags import jobs
from tests.datasets.making import a_job, an_engine, an_uploaded_job

pytestmark = pytest.mark.django_db

HOSTILE = '"><script>alert(1)</script>'
ROWS = [{"instruction": "say 1"}, {"instruction": "say 2"}]


def browser(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def seen(response: Any, status: int = 200) -> str:
    """The page, what waits in templates for the script aside."""
    assert response.status_code == status
    return re.sub(r"(?s)<template.*?</template>", "", response.content.decode())


def dataset(rows: Any = ROWS, name: str = "rows.json") -> SimpleUploadedFile:
    content = rows if isinstance(rows, bytes) else json.dumps(rows).encode()
    return SimpleUploadedFile(name, content, content_type="application/json")


def uploaded(client: Client, rows: Any = ROWS, **fields: Any) -> Any:
    return client.post("/jobs/", {"file": dataset(rows), **fields})


def owned(job: Job, owner: User, **changes: Any) -> Job:
    Job.objects.filter(id=job.id).update(owner=owner, **changes)
    return Job.objects.get(id=job.id)


def failed_items(job: Job, count: int, error: str = "runner gone", node_id: int | None = None) -> None:
    """Let the first items of a job be failed."""
    first = list(Item.objects.filter(job=job).order_by("index").values_list("id", flat=True)[:count])
    Item.objects.filter(id__in=first).update(
        state="failed",
        cause="engine_error",
        error=error,
        node_id=node_id,
        finished_ms=1_800_000_000_000,
        duration_ms=10,
    )
    Shard.objects.filter(job=job, index=0).update(failed=count)


# --- The list ---------------------------------------------------------------------------------------------


def test_a_stranger_is_led_to_the_login() -> None:
    for path in ("/jobs/", "/jobs/0193aaaa-0000-7000-8000-000000000000/"):
        assert Client().get(path)["Location"] == f"/login/?next={path}"
    assert Client().post("/jobs/")["Location"] == "/login/?next=/jobs/"


def test_an_operator_gets_the_form_and_an_invitation(people: dict[str, User]) -> None:
    page = seen(browser(people["otto"]).get("/jobs/"))
    assert 'id="upload-form"' in page
    assert "No job yet." in page
    assert "No machine is here yet" in page


def test_a_viewer_gets_no_form_and_is_told_whom_to_ask(people: dict[str, User]) -> None:
    page = seen(browser(people["vera"]).get("/jobs/"))
    assert "upload-form" not in page
    assert "upload.js" not in page
    assert "ask an admin for the role operator" in page
    assert uploaded(browser(people["vera"])).status_code == 403
    assert not Job.objects.exists()


def test_everybody_sees_his_own_jobs_and_admins_everybodys(people: dict[str, User]) -> None:
    owned(a_job(2), people["otto"], name="of otto")
    owned(a_job(2), people["stan"], name="of stan")
    assert "of stan" not in seen(browser(people["otto"]).get("/jobs/"))
    page = seen(browser(people["ada"]).get("/jobs/"))
    assert "of otto" in page
    assert "of stan" in page
    assert '<td data-f="owner">stan</td>' in page


def test_long_lists_have_pages(people: dict[str, User]) -> None:
    for number in range(21):
        Job.objects.create(id=f"{number:036d}", owner=people["otto"], name=f"job {number:02d}", total=1)
    client = browser(people["otto"])
    first, second = seen(client.get("/jobs/")), seen(client.get("/jobs/?page=2"))
    assert "job 20" in first
    assert "job 00" not in first
    assert "Page 1 of 2" in first
    assert "job 00" in second
    assert 'data-jobs="/api/v1/jobs/?page=2&amp;page_size=20&amp;dry_runs=no"' in second
    assert "Page 2 of 2" in seen(client.get("/jobs/?page=999"))


def test_the_fleets_page_has_the_latest_jobs(people: dict[str, User]) -> None:
    for number in range(7):
        Job.objects.create(id=f"{number:036d}", owner=people["otto"], name=f"job {number}", total=1)
    page = seen(browser(people["otto"]).get("/"))
    assert [number for number in range(7) if f"job {number}" in page] == [2, 3, 4, 5, 6]


# --- Uploads ----------------------------------------------------------------------------------------------


def test_it_makes_a_job_of_a_file_and_leads_to_it(people: dict[str, User]) -> None:
    response = uploaded(browser(people["otto"]))
    job = Job.objects.get()
    assert (response.status_code, response["Location"]) == (302, f"/jobs/{job.id}/")
    assert (job.owner, job.total, job.name) == (people["otto"], 2, "rows.json")
    assert job.options == JobOptions().to_json()


def test_every_field_of_the_form_takes_effect(people: dict[str, User]) -> None:
    nodes = [an_engine(name, models=["m"]).node_id for name in ("fast", "slow")]
    uploaded(
        browser(people["otto"]),
        name="mine",
        model="m",
        limit="1",
        system=" be brief\n",
        options='{"temperature": 0.5}',
        attempts="2",
        timeout_s="1.5",
        nodes=[str(node_id) for node_id in nodes],
        exclusive="on",
    )
    job = Job.objects.get()
    wanted = JobOptions(
        model="m",
        limit=1,
        system=" be brief\r\n",
        sampling={"temperature": 0.5},
        attempts=2,
        timeout_s=1.5,
        nodes=tuple(nodes),
        exclusive=True,
    )
    options = JobOptions.from_json(job.options)
    assert (job.name, job.total) == ("mine", 1)
    assert (options.system or "").split() == ["be", "brief"]
    assert options == JobOptions.from_json(wanted.to_json() | {"system": options.system})


def test_it_offers_the_models_and_nodes_that_there_are(people: dict[str, User]) -> None:
    an_engine("fast", models=["llama3:8b", HOSTILE])
    page = seen(browser(people["otto"]).get("/jobs/"))
    assert '<option value="llama3:8b">llama3:8b (resident)</option>' in page
    assert "auto: whatever is resident" in page
    assert 'name="nodes"' in page
    assert "<script>alert" not in page


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (b"", "The file is empty"),
        (b"[", "cut off"),
        (b"hello", "JSON"),
        ([{"instruction": "a"}, {"instruction": 5}], "Row 1: instruction is a number"),
        ([{"instruction": "a"}] * 3 + [{}], "Row 3: the row has neither instruction nor messages"),
    ],
)
def test_a_bad_file_is_told_in_words_at_the_form_with_the_row(
    people: dict[str, User], rows: Any, words: str
) -> None:
    page = seen(uploaded(browser(people["otto"]), rows), 400)
    at_the_file = page.partition('data-errors="file">')[2].partition("</ul>")[0]
    assert words in at_the_file
    assert not Job.objects.exists()
    assert not Upload.objects.exists()


def test_the_form_keeps_its_fields(people: dict[str, User]) -> None:
    an_engine("fast", models=["m"])
    fields = {"name": "kept name", "model": "m", "options": '{"temperature": "hot"}', "exclusive": "on"}
    page = seen(uploaded(browser(people["otto"]), **fields), 400)
    assert 'value="kept name"' in page
    assert '<option value="m" selected>' in page
    assert "checked" in page
    assert "temperature is" in page.partition('data-errors="options">')[2].partition("</ul>")[0]
    assert "<details open>" in page


@pytest.mark.parametrize(
    ("field", "value"),
    [("limit", "0"), ("attempts", "many"), ("timeout_s", "-1"), ("model", "gone"), ("nodes", "99")],
)
def test_a_bad_field_is_told_at_that_field(people: dict[str, User], field: str, value: str) -> None:
    an_engine("fast")
    page = seen(uploaded(browser(people["otto"]), **{field: value}), 400)
    assert ("<details open>" in page) is (field != "model")
    assert "<li>" in page.partition(f'data-errors="{field}">')[2].partition("</ul>")[0]
    assert not Job.objects.exists()


def test_no_file_is_told(people: dict[str, User]) -> None:
    page = seen(browser(people["otto"]).post("/jobs/", {"name": "x"}), 400)
    assert "<details open>" in page, "what was written must not be out of sight"
    assert "required" in page.partition('data-errors="file">')[2].partition("</ul>")[0]


def test_a_file_that_is_too_large_is_told(people: dict[str, User], settings: Settings) -> None:
    settings.DPL_MAX_UPLOAD_MB = 1
    page = seen(uploaded(browser(people["otto"]), [{"instruction": "x" * 9_000}] * 150), 413)
    assert "larger than 1 MB" in page.partition('data-errors="file">')[2].partition("</ul>")[0]


def test_an_upload_from_elsewhere_is_refused(people: dict[str, User]) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(people["otto"])
    assert uploaded(client).status_code == 403
    assert not Job.objects.exists()


# --- One job ----------------------------------------------------------------------------------------------


def page_of(user: User, job: Job) -> str:
    return seen(browser(user).get(f"/jobs/{job.id}/"))


def test_it_shows_how_far_a_job_is(people: dict[str, User]) -> None:
    engine = an_engine("fast")
    job = owned(a_job(10, model="llama3:8b", sampling={"seed": 7, "items": 5}), people["otto"])
    failed_items(job, 4, node_id=engine.node_id)
    page = page_of(people["otto"], job)
    assert '<b data-f="done">4</b> / <b data-f="total">10</b>' in page
    assert 'role="progressbar"' in page
    assert 'aria-valuenow="40"' in page
    assert '<rect class="failed" x="0.000%" width="40.000%" height="100%"/>' in page
    assert "the engine failed at it" in page
    assert "runner gone" in page
    assert '#items" data-f="name">fast</a></th>' in page
    assert "llama3:8b" in page
    for form in ("?format=json", "?format=jsonl", "?format=json&amp;only=failed"):
        assert f'href="/api/dataset/result/{job.id}{form}"' in page


def test_a_job_that_waits_says_where_to_look(people: dict[str, User]) -> None:
    page = page_of(people["otto"], owned(an_uploaded_job(['{"instruction": "a"}']), people["otto"]))
    assert "No machine has taken an item yet" in page
    assert "Rows taken in so far" in page


def test_what_people_and_engines_write_is_text_and_never_markup(people: dict[str, User]) -> None:
    engine = an_engine(HOSTILE)
    job = a_job(3, model=HOSTILE, system=HOSTILE, sampling={HOSTILE: HOSTILE})
    job = owned(job, people["otto"], name=HOSTILE, error=HOSTILE)
    failed_items(job, 1, error=HOSTILE, node_id=engine.node_id)
    page = page_of(people["otto"], job)
    assert "<script>alert" not in page
    assert page.count("&lt;script&gt;alert(1)") >= 8


def test_another_persons_job_is_not_there(people: dict[str, User]) -> None:
    job = owned(a_job(1), people["otto"])
    for path in (f"/jobs/{job.id}/", "/jobs/nonsense/", f"/jobs/{job.id}/stop"):
        assert browser(people["stan"]).get(path).status_code == 404
    assert browser(people["stan"]).post(f"/jobs/{job.id}/stop").status_code == 404
    assert browser(people["ada"]).get(f"/jobs/{job.id}/").status_code == 200


def shown(page: str) -> set[str]:
    """The buttons that are seen."""
    forms = page.split('<form method="post" action="/jobs/')[1:]
    return {
        form.partition('"')[0].rpartition("/")[2] for form in forms if "hidden" not in form.partition(">")[0]
    }


@pytest.mark.parametrize(
    ("state", "failed", "wanted"),
    [
        ("importing", 0, {"stop", "abort"}),
        ("queued", 0, {"stop", "abort"}),
        ("running", 1, {"stop", "abort"}),
        ("stopping", 1, {"abort"}),
        ("stopped", 0, {"resume"}),
        ("stopped", 1, {"resume", "retry-failed"}),
        ("failed", 0, {"resume"}),
        ("completed", 0, set()),
        ("completed", 1, {"retry-failed"}),
    ],
)
def test_it_offers_what_makes_sense_now(
    people: dict[str, User], state: str, failed: int, wanted: set[str]
) -> None:
    job = owned(a_job(2), people["otto"], state=state)
    failed_items(job, failed)
    assert shown(page_of(people["otto"], job)) == wanted


def test_a_viewer_sees_his_job_and_no_buttons(people: dict[str, User]) -> None:
    job = owned(a_job(2), people["vera"])
    page = page_of(people["vera"], job)
    assert "data-states" not in page
    assert '<dialog class="stop"' not in page
    assert "?format=json" in page
    assert browser(people["vera"]).post(f"/jobs/{job.id}/stop").status_code == 403


@pytest.mark.parametrize("action", ["stop", "abort"])
def test_it_stops_a_job(people: dict[str, User], action: str) -> None:
    job = owned(a_job(2), people["otto"])
    response = browser(people["otto"]).post(f"/jobs/{job.id}/{action}", follow=True)
    assert Job.objects.get().state == "stopped"
    assert "The job was told to stop" in seen(response)


def test_it_resumes_a_job(people: dict[str, User]) -> None:
    job = owned(a_job(2), people["otto"], state="stopped")
    browser(people["otto"]).post(f"/jobs/{job.id}/resume")
    assert Job.objects.get().state == "queued"


def test_it_retries_what_failed(people: dict[str, User]) -> None:
    job = owned(a_job(2), people["otto"], state="completed")
    failed_items(job, 1)
    browser(people["otto"]).post(f"/jobs/{job.id}/retry-failed")
    assert not Item.objects.filter(state="failed").exists()
    assert Job.objects.get().state == "queued"


def test_what_cannot_be_done_is_told(people: dict[str, User]) -> None:
    job = owned(a_job(2), people["otto"], state="completed")
    response = browser(people["otto"]).post(f"/jobs/{job.id}/resume", follow=True)
    assert "Nothing is left to resume" in seen(response)


def test_there_is_no_other_action(people: dict[str, User]) -> None:
    job = owned(a_job(2), people["otto"])
    assert browser(people["otto"]).post(f"/jobs/{job.id}/explode").status_code == 404


def test_a_login_in_between_leads_back_to_the_job(people: dict[str, User]) -> None:
    job = owned(a_job(2), people["otto"])
    response = browser(people["otto"]).get(f"/jobs/{job.id}/stop")
    assert response["Location"] == f"/jobs/{job.id}/"
    assert Job.objects.get().state == "queued"


def test_each_cause_of_failures_has_words_and_advice(people: dict[str, User]) -> None:
    assert set(jobs.ADVICE) == set(jobs.CAUSES)
    job = owned(a_job(2), people["otto"], state="completed")
    failed_items(job, 1)
    page = page_of(people["otto"], job)
    assert "Look at the engine&#x27;s own log" in page
    assert "Retrying may help." in page


def test_a_waiting_job_tells_what_to_do_to_those_who_may(people: dict[str, User]) -> None:
    for who, may in (("otto", True), ("vera", False)):
        page = page_of(people[who], owned(a_job(1), people[who]))
        assert "There is no engine yet." in page
        assert ("What to do: put the model on a machine" in page) is may
