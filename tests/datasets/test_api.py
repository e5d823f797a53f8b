"""Jobs over HTTP: the first clients' paths and the resources, who may do what, and errors in JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import AsyncClient, Client
from drf_spectacular.generators import SchemaGenerator

from accounts.models import User
from accounts.services import key_create
from datasets.models import Item, ItemOutput, Job, Shard, Upload
from datasets.options import JobOptions
from datasets.states import ItemState, JobState, ShardState
from dpl_site.lib.db import call
from inference.models import Engine
from tests.datasets.making import a_job, an_engine
from tests.datasets.test_export import answered

pytestmark = pytest.mark.django_db

Api = Callable[[str], Client]
UNKNOWN = "0193aaaa-0000-7000-8000-000000000000"
GETS = [
    "/api/dataset/status/{}",
    "/api/dataset/detailed-status/{}",
    "/api/dataset/result/{}",
    "/api/v1/jobs/{}/",
    "/api/v1/jobs/{}",
    "/api/v1/jobs/{}/items/",
    "/api/v1/jobs/{}/pace/",
    "/api/v1/jobs/{}/estimate/?rows=10",
    "/api/v1/jobs/{}/result",
]
POSTS = [
    "/api/dataset/stop/{}",
    "/api/v1/jobs/{}/stop",
    "/api/v1/jobs/{}/stop/",
    "/api/v1/jobs/{}/resume",
    "/api/v1/jobs/{}/retry-failed",
]
NOT_STREAMS = [path for path in GETS if "result" not in path]


def error_of(response: Any) -> dict[str, Any]:
    found: dict[str, Any] = response.json()["error"]
    assert set(found) <= {"message", "code", "detail"}
    return found


@pytest.mark.parametrize("path", NOT_STREAMS)
def test_people_read_their_own_jobs(api: Api, path: str) -> None:
    job = a_job(3)

    assert api("otto").get(path.format(job.id)).status_code == 200
    assert api("ada").get(path.format(job.id)).status_code == 200


@pytest.mark.parametrize("path", GETS)
def test_others_do_not_learn_that_a_job_is_there(api: Api, path: str) -> None:
    job = a_job(3)
    for who in ("stan", "vera"):
        foreign, unknown = (api(who).get(path.format(job_id)) for job_id in (job.id, UNKNOWN))
        assert (foreign.status_code, error_of(foreign)["code"]) == (404, "unknown_job")
        assert unknown.status_code == 404


@pytest.mark.parametrize("path", POSTS)
def test_others_change_nothing(api: Api, path: str) -> None:
    job = a_job(3)

    assert error_of(api("stan").post(path.format(job.id)))["code"] == "unknown_job"
    assert error_of(api("otto").post(path.format(UNKNOWN)))["code"] == "unknown_job"
    assert error_of(api("vera").post(path.format(job.id)))["code"] == "missing_scope"
    assert Job.objects.get(id=job.id).version == job.version


@pytest.mark.parametrize("path", [*GETS, "/api/v1/jobs/"])
def test_reading_needs_a_key(api: Api, path: str) -> None:
    response = api("").get(path.format(UNKNOWN))
    assert (response.status_code, error_of(response)["code"]) == (401, "unauthenticated")
    wrong = Client(headers={"Authorization": "Bearer dpl_wrong"}).get(path.format(UNKNOWN))
    assert wrong.status_code == 401


@pytest.mark.parametrize("path", [*POSTS, "/api/dataset/cleanup/all"])
def test_changing_needs_a_key_or_a_session_with_its_token(
    api: Api, people: dict[str, User], path: str
) -> None:
    assert api("").post(path.format(UNKNOWN)).status_code == 401
    client = Client(enforce_csrf_checks=True)
    client.force_login(people["ada"])
    assert client.post(path.format(UNKNOWN)).status_code == 403


@pytest.mark.parametrize("path", NOT_STREAMS)
def test_a_key_for_datasets_alone_may_follow_its_jobs_and_one_for_chat_may_not(
    people: dict[str, User], path: str
) -> None:
    job = a_job(1)

    def asked(*scopes: str) -> int:
        key = key_create(user=people["otto"], name=scopes[0], scopes=scopes)[1]
        return Client(headers={"Authorization": f"Bearer {key}"}).get(path.format(job.id)).status_code

    assert (asked("datasets"), asked("read"), asked("chat")) == (200, 200, 403)


@pytest.mark.parametrize("path", GETS)
def test_reading_paths_take_no_posts(api: Api, path: str) -> None:
    response = api("otto").post(path.format(UNKNOWN))
    assert (response.status_code, error_of(response)["code"]) == (405, "method_not_allowed")


@pytest.mark.parametrize("path", [*POSTS, "/api/dataset/cleanup/all", "/api/dataset/upload"])
def test_changing_paths_take_no_gets(api: Api, path: str) -> None:
    response = api("ada").get(path.format(UNKNOWN))
    assert (response.status_code, error_of(response)["code"]) == (405, "method_not_allowed")


@pytest.mark.parametrize("job_id", ["x", "%00", "a%2Fb", "%F0%9F%99%82", "a" * 2000])
def test_a_strange_id_is_an_unknown_job(api: Api, job_id: str) -> None:
    response = api("ada").get(f"/api/dataset/status/{job_id}")
    assert response.status_code == 404
    assert error_of(response)["message"]


def test_the_brief_status_has_the_contracts_shape(api: Api) -> None:
    job = answered(10, failed=[1], undone=[2, 3])
    found = api("otto").get(f"/api/dataset/status/{job.id}").json()

    contract = ("job_id", "status", "total", "succeeded", "failed", "done", "progress")
    assert {name: type(found[name]) for name in contract} == {
        **dict.fromkeys(("job_id", "status"), str),
        **dict.fromkeys(("total", "succeeded", "failed", "done"), int),
        "progress": float,
    }


def test_the_detailed_status_has_the_contracts_shape(api: Api) -> None:
    answered(10, failed=[1], undone=[2])
    job = Job.objects.get()
    found = api("otto").get(f"/api/dataset/detailed-status/{job.id}").json()

    assert set(found) >= {
        *("job_id", "status", "total", "succeeded", "failed", "done", "progress", "pending", "running"),
        *("created_at", "started_at", "finished_at", "duration_s", "rate_per_s", "eta_s", "tokens"),
        *("tokens_per_second", "late_results_refused", "restarted_after_kill", "nodes", "errors"),
    }
    assert set(found["nodes"][0]) >= {
        *("id", "name", "succeeded", "failed", "running", "share", "tokens_per_second"),
        *("p50_s", "p99_s", "idle_s"),
    }
    assert found["created_at"].endswith("Z")


def test_it_stops_and_resumes(api: Api) -> None:
    job, otto = a_job(5), api("otto")

    assert otto.post(f"/api/dataset/stop/{job.id}?mode=abort").json()["status"] == "stopped"
    assert otto.post(f"/api/v1/jobs/{job.id}/resume").json()["status"] == "queued"
    wrong = otto.post(f"/api/dataset/stop/{job.id}?mode=now")
    assert (wrong.status_code, list(error_of(wrong)["detail"])) == (400, ["mode"])


def test_it_says_when_there_is_nothing_to_resume_or_to_retry(api: Api) -> None:
    job, otto = a_job(5), api("otto")
    early = otto.post(f"/api/v1/jobs/{job.id}/retry-failed")
    assert (early.status_code, error_of(early)["code"]) == (409, "still_running")
    Job.objects.update(state=JobState.COMPLETED)
    late = otto.post(f"/api/v1/jobs/{job.id}/resume")
    assert (late.status_code, error_of(late)["code"]) == (409, "already_completed")


def test_it_retries_what_failed(api: Api) -> None:
    job = answered(3, failed=[1])
    Shard.objects.update(succeeded=2, failed=1, state=ShardState.DONE)
    Job.objects.update(state=JobState.COMPLETED)

    found = api("otto").post(f"/api/v1/jobs/{job.id}/retry-failed/").json()
    assert (found["status"], found["succeeded"], found["failed"]) == ("queued", 2, 0)


def test_only_admins_clean_up(api: Api) -> None:
    a_job(5)
    refused = api("otto").post("/api/dataset/cleanup/all")

    assert (refused.status_code, error_of(refused)["code"]) == (403, "missing_scope")
    assert api("ada").post("/api/dataset/cleanup/all").json() == {"jobs": 1, "leases": 0, "locks": 0}
    assert Job.objects.get().state == JobState.STOPPED


def test_it_lists_jobs_newest_first_one_page_at_a_time(api: Api) -> None:
    made = [a_job(2).id for _ in range(5)]
    first = api("otto").get("/api/v1/jobs/?page_size=3").json()
    second = api("otto").get("/api/v1/jobs?page_size=3&page=2").json()

    assert (first["count"], first["previous"]) == (5, None)
    assert "page=2" in first["next"]
    assert [job["job_id"] for job in first["results"] + second["results"]] == made[::-1]
    assert api("stan").get("/api/v1/jobs/").json()["results"] == []


def test_it_filters_jobs(api: Api, people: dict[str, User]) -> None:
    poems, mails = a_job(1), a_job(1)
    Job.objects.filter(id=poems.id).update(
        name="Spring poems", state=JobState.COMPLETED, owner=people["stan"]
    )

    def found(query: str, who: str = "ada") -> list[str]:
        return [job["job_id"] for job in api(who).get(f"/api/v1/jobs/?{query}").json()["results"]]

    assert found("state=completed") == [poems.id]
    assert found("search=POEM") == [poems.id]
    assert found("owner=otto") == [mails.id]
    assert found("owner=stan", who="otto") == []
    assert error_of(api("ada").get("/api/v1/jobs/?state=lazy"))["detail"]["state"]


def test_it_lists_jobs_in_the_order_that_is_asked_for(api: Api) -> None:
    small, large = a_job(1), a_job(3)

    def order(query: str) -> list[str]:
        return [job["job_id"] for job in api("otto").get(f"/api/v1/jobs/?{query}").json()["results"]]

    assert order("") == order("sort=-total") == [large.id, small.id]
    assert order("sort=created") == [small.id, large.id]
    assert error_of(api("ada").get("/api/v1/jobs/?sort=odd"))["detail"]["sort"]


def test_it_estimates_by_what_was_tried_on_the_machines_that_are_there(api: Api) -> None:
    engine, job = an_engine("fast", slots=4), a_job(3, model="m")
    an_engine("other", models=["another"])
    Item.objects.filter(job=job).update(
        state="succeeded", engine_id=engine.id, duration_ms=2000, prompt_tokens=10, completion_tokens=30
    )
    client = api("otto")
    found = client.get(f"/api/v1/jobs/{job.id}/estimate/?rows=100").json()
    assert (found["seconds"], found["tokens"]["completion"]) == (50.0, 3000)
    assert [(node["name"], node["basis"]) for node in found["nodes"]] == [("fast", "tried")]
    assert error_of(client.get(f"/api/v1/jobs/{job.id}/estimate/"))["detail"]["rows"]


def test_listing_costs_the_same_few_statements_at_any_length(
    api: Api, django_assert_max_num_queries: Callable[[int], Any]
) -> None:
    for _ in range(6):
        a_job(2)
    client = api("otto")
    with django_assert_max_num_queries(6):
        client.get("/api/v1/jobs/")


def test_it_shows_a_job_with_its_options(api: Api) -> None:
    job = a_job(1, model="m", sampling={"seed": 1})

    options = api("otto").get(f"/api/v1/jobs/{job.id}/").json()["options"]
    assert JobOptions.from_json(options) == JobOptions(model="m", sampling={"seed": 1})


def test_it_lists_and_filters_items(api: Api) -> None:
    job = answered(10, failed=[1, 4], undone=[2])
    node = Item.objects.get(index=0).node
    assert node is not None

    def found(query: str) -> list[int]:
        return [
            item["index"]
            for item in api("otto").get(f"/api/v1/jobs/{job.id}/items/?{query}").json()["results"]
        ]

    assert found("") == list(range(10))
    assert found("state=failed") == found("cause=timeout") == [1, 4]
    assert found("state=pending") == [2]
    assert found(f"node={node.id}&page_size=3&page=2") == [4, 5, 6]
    assert found("node=999") == []
    for wrong in ("state=odd", "node=x", "node=99999999999999999999", "text=perhaps"):
        assert api("otto").get(f"/api/v1/jobs/{job.id}/items/?{wrong}").status_code == 400
    assert api("otto").get(f"/api/v1/jobs/{job.id}/items/?page=99").status_code == 404


def test_an_item_tells_all_about_itself_and_its_texts_when_asked(api: Api) -> None:
    job = answered(2, failed=[1])
    first, second = api("otto").get(f"/api/v1/jobs/{job.id}/items/").json()["results"]

    assert (first["state"], first["node"]["name"], first["attempts"], first["duration_ms"]) == (
        "succeeded",
        "fast",
        1,
        20,
    )
    assert (second["cause"], second["error"]) == ("timeout", "no answer within 3 s")
    assert "input" not in first
    first, second = api("otto").get(f"/api/v1/jobs/{job.id}/items/?text=1").json()["results"]
    assert first["input"] == {"instruction": "say 0", "id": 0}
    assert first["output"] == {"message": {"content": "said 0"}}
    assert second["output"] is None


def test_an_upload_that_reaches_django_is_taken_too(api: Api) -> None:
    file = SimpleUploadedFile("a.jsonl", b'{"instruction": "a"}\n{"instruction": "b"}\n')
    response = api("otto").post("/api/v1/jobs/", {"file": file, "limit": "1", "color": "red"})

    assert response.status_code == 201
    assert response.json() == {
        "job_id": Job.objects.get().id,
        "status": "importing",
        "total": 1,
        "ignored": ["color"],
    }


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({}, 400, "no_file"),
        ({"file": b"[]"}, 400, "no_rows"),
        ({"file": b'[{"instruction": 1}]'}, 400, "wrong_type"),
        ({"file": b'[{"instruction": "a"}]', "limit": "x"}, 400, "bad_option"),
    ],
)
def test_nothing_is_left_of_an_upload_that_django_refuses(
    api: Api, fields: dict[str, Any], status: int, code: str
) -> None:
    sent = {
        name: SimpleUploadedFile("a", value) if isinstance(value, bytes) else value
        for name, value in fields.items()
    }
    response = api("otto").post("/api/dataset/upload", sent)

    assert (response.status_code, error_of(response)["code"]) == (status, code)
    assert not Upload.objects.exists()
    assert not Job.objects.exists()


def test_a_deleted_nodes_name_is_told_as_far_as_it_is_known(api: Api) -> None:
    job = answered(2)
    engine: Engine = an_engine("other")
    Item.objects.update(node_id=engine.node_id + 1000)

    nodes = api("otto").get(f"/api/dataset/detailed-status/{job.id}").json()["nodes"]
    assert nodes[0]["name"] == f"node {engine.node_id + 1000}"


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "path", ["/api/dataset/result/{}", "/api/v1/jobs/{}/result", "/api/v1/jobs/{}/result/"]
)
@pytest.mark.parametrize("form", ["", "json", "jsonl"])
async def test_the_result_streams_in_order(keys: dict[str, str], path: str, form: str) -> None:
    job = await call(answered, 20, failed=[3], undone=[5])
    shown = {"Authorization": f"Bearer {keys['otto']}"}
    query = {"format": form, "meta": "1"} if form else {}
    response: Any = await AsyncClient().get(path.format(job.id), query, headers=shown)

    text = b"".join([chunk async for chunk in response.streaming_content]).decode()
    found = [json.loads(line) for line in text.splitlines()] if form == "jsonl" else json.loads(text)
    assert [row["id"] for row in found] == list(range(20))
    assert found[3]["model_output"]["code"] == "timeout"
    assert ("dpl" in found[0]) is bool(form)
    suffix = form or "json"
    assert response["Content-Disposition"] == f'attachment; filename="a dataset.result.{suffix}"'
    assert response["Content-Type"] == ("application/x-ndjson" if form == "jsonl" else "application/json")


@pytest.mark.django_db(transaction=True)
async def test_the_result_can_be_only_what_is_done_or_failed(keys: dict[str, str]) -> None:
    job = await call(answered, 6, failed=[3], undone=[5])
    shown = {"Authorization": f"Bearer {keys['otto']}"}

    path = f"/api/dataset/result/{job.id}"

    async def found(only: str) -> list[int]:
        response: Any = await AsyncClient().get(path, {"only": only}, headers=shown)
        return [
            row["id"] for row in json.loads(b"".join([chunk async for chunk in response.streaming_content]))
        ]

    assert await found("done") == [0, 1, 2, 3, 4]
    assert await found("failed") == [3]


@pytest.mark.parametrize("query", ["format=csv", "only=some", "meta=perhaps"])
def test_the_result_refuses_what_it_cannot_give(api: Api, query: str) -> None:
    job = a_job(1)
    response = api("otto").get(f"/api/dataset/result/{job.id}?{query}")

    assert response.status_code == 400
    assert list(error_of(response)["detail"]) == [query.split("=")[0]]


def test_any_accept_header_gets_json(api: Api) -> None:
    job = a_job(1)
    response = api("otto").get(f"/api/dataset/status/{job.id}", headers={"Accept": "text/csv"})

    assert (response.status_code, response["Content-Type"]) == (200, "application/json")


def test_the_schema_documents_every_path() -> None:
    generator: Any = SchemaGenerator
    paths = generator().get_schema(request=None, public=True)["paths"]

    assert set(paths["/api/v1/jobs/"]) == {"get", "post"}
    assert "multipart/form-data" in paths["/api/v1/jobs/"]["post"]["requestBody"]["content"]
    for path in ("/api/dataset/upload", "/api/dataset/stop/{job_id}", "/api/v1/jobs/{job_id}/retry-failed/"):
        assert "post" in paths[path]
    detail = paths["/api/dataset/detailed-status/{job_id}"]["get"]["responses"]["200"]
    assert "DetailedStatus" in json.dumps(detail)


def test_the_admin_shows_jobs_and_changes_none(people: dict[str, User]) -> None:
    job = answered(3, failed=[1])
    Shard.objects.update(succeeded=2, failed=1)
    client = Client()
    people["ada"].is_staff = people["ada"].is_superuser = True
    people["ada"].save()
    client.force_login(people["ada"])

    assert b"a dataset" in client.get("/admin/datasets/job/").content
    page = client.get(f"/admin/datasets/job/{job.id}/change/")
    assert b"2 / 1" in page.content
    assert f"/api/dataset/result/{job.id}".encode() in page.content
    assert client.get("/admin/datasets/job/add/").status_code == 403
    assert client.post(f"/admin/datasets/job/{job.id}/delete/").status_code == 403
    assert ItemOutput.objects.count() == 2
    assert Item.objects.filter(state=ItemState.FAILED).count() == 1
