"""Errors in the words of each surface: never HTML for programs, never a trace for anybody."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
from django.test import AsyncClient, Client

from accounts.models import User
from dpl_site.lib.refusals import CODES, Refused, Surface, error_body, is_machine_path, surface_of

pytestmark = [pytest.mark.urls("tests.site.urls"), pytest.mark.django_db]

Api = Callable[[str], Client]
JSON = "application/json"


@pytest.fixture
def calm() -> Client:
    """A client that sees what a server answers instead of the exception."""
    return Client(raise_request_exception=False)


@pytest.mark.parametrize(
    ("path", "surface"),
    [
        ("/v1/models", Surface.OPENAI),
        ("/v1", Surface.OPENAI),
        ("/api/chat", Surface.OLLAMA),
        ("/api/tags", Surface.OLLAMA),
        ("/api/blobs/sha256:0", Surface.OLLAMA),
        ("/api/chat/completions", Surface.DPL),
        ("/api/v1/nodes/", Surface.DPL),
        ("/v1x", Surface.DPL),
    ],
)
def test_each_path_has_its_surface(path: str, surface: Surface) -> None:
    assert surface_of(path) is surface


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/api/x", True),
        ("/v1/x", True),
        ("/health", True),
        ("/metrics", True),
        ("/jobs/", False),
        ("/apix", False),
    ],
)
def test_programs_have_their_paths(path: str, answer: bool) -> None:
    assert is_machine_path(path) is answer


def test_a_body_has_a_detail_only_when_there_is_one() -> None:
    assert error_body(Surface.DPL, "No.", "x", 400) == {"error": {"message": "No.", "code": "x"}}
    assert error_body(Surface.DPL, "No.", "x", 400, {"row": 1})["error"]["detail"] == {"row": 1}


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (429, "rate_limit_error"),
        (503, "server_error"),
    ],
)
def test_openai_clients_get_a_type(status: int, kind: str) -> None:
    assert error_body(Surface.OPENAI, "No.", "x", status)["error"]["type"] == kind


def test_a_refusal_has_a_code_of_its_status_by_default() -> None:
    assert (Refused("No.", status=409).code, Refused("No.").code) == ("conflict", "bad_request")


EXPECTED = [
    ("missing", 404, "not_found", "There is nothing at"),
    ("forbidden", 403, "forbidden", "Not on a Sunday."),
    ("suspicious", 400, "bad_request", "That looks odd."),
    ("huge", 413, "too_large", "too large"),
    ("away", 503, "database_away", "The database does not answer."),
    ("broken", 500, "internal_error", "Something broke inside DPL."),
]


@pytest.mark.parametrize(("name", "status", "code", "words"), EXPECTED)
def test_programs_get_json(calm: Client, name: str, status: int, code: str, words: str) -> None:
    response = calm.get(f"/api/fail/{name}")
    assert (response.status_code, response["Content-Type"]) == (status, JSON)
    error = response.json()["error"]
    assert (error["code"], set(error)) == (code, {"message", "code"})
    assert words in error["message"]


@pytest.mark.parametrize(("name", "status", "code", "words"), EXPECTED)
def test_openai_paths_get_openais_shape(calm: Client, name: str, status: int, code: str, words: str) -> None:
    error = calm.get(f"/v1/fail/{name}").json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert words in error["message"]


@pytest.mark.parametrize(("name", "status", "code", "words"), EXPECTED)
def test_people_get_a_page(calm: Client, name: str, status: int, code: str, words: str) -> None:
    response = calm.get(f"/fail/{name}")
    assert response.status_code == status
    assert response["Content-Type"].startswith("text/html")
    assert f"<h1>{status} " in response.content.decode()


@pytest.mark.parametrize("path", ["/api/fail/broken", "/fail/broken", "/api/fail/away", "/fail/away"])
def test_what_broke_is_logged_and_never_told(
    calm: Client, path: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("django"), "propagate", True)
    body = calm.get(path).content.decode()
    for secret in ("secret inside", "hunter2", "Traceback", "RuntimeError", ".py"):
        assert secret not in body
    assert "RuntimeError: secret inside" in caplog.text or "OperationalError" in caplog.text


def test_a_database_that_is_away_says_when_to_come_back(calm: Client, api: Api) -> None:
    for response in (
        calm.get("/api/fail/away"),
        calm.get("/fail/away"),
        api("vera").get("/api/v1/things/?fail=away"),
    ):
        assert (response.status_code, response["Retry-After"]) == (503, "2")
        assert "hunter2" not in response.content.decode()


@pytest.mark.parametrize(
    ("fail", "status", "code"),
    [
        ("missing", 404, "not_found"),
        ("forbidden", 403, "forbidden"),
        ("throttled", 429, "too_many_requests"),
        ("model", 400, "invalid"),
        ("refused", 409, "stuck"),
    ],
)
def test_rest_views_answer_in_the_same_shape(api: Api, fail: str, status: int, code: str) -> None:
    response = api("vera").get(f"/api/v1/things/?fail={fail}")
    assert (response.status_code, response.json()["error"]["code"]) == (status, code)


def test_a_throttled_client_is_told_when_to_come_back(api: Api) -> None:
    response = api("vera").get("/api/v1/things/?fail=throttled")
    assert response["Retry-After"] == "3"
    assert response.json()["error"]["message"] == "Too many requests. Try again in 3 s."


def test_a_broken_rest_view_is_500_in_json(keys: dict[str, str]) -> None:
    client = Client(raise_request_exception=False, headers={"Authorization": f"Bearer {keys['vera']}"})
    response = client.get("/api/v1/things/?fail=broken")
    assert (response.status_code, response.json()["error"]["code"]) == (500, "internal_error")


@pytest.mark.parametrize(
    ("body", "message", "detail"),
    [
        ({}, "name: This field is required.", {"name"}),
        ({"name": "long"}, "name: Ensure this field has no more than 3 characters.", {"name"}),
        ({"name": "x", "sizes": [1, "y"]}, "sizes.1: A valid integer is required.", {"sizes"}),
        ([], "Invalid data. Expected a dictionary, but got list.", {"non_field_errors"}),
    ],
)
def test_a_wrong_body_is_explained_by_field(api: Api, body: Any, message: str, detail: set[str]) -> None:
    response = api("otto").post("/api/v1/things/", body, content_type=JSON)
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (400, "invalid")
    assert (error["message"], set(error["detail"])) == (message, detail)


def test_a_body_that_is_no_json_is_400(api: Api) -> None:
    response = api("otto").post("/api/v1/things/", "{", content_type=JSON)
    assert (response.status_code, response.json()["error"]["code"]) == (400, "bad_request")
    response = api("otto").post("/api/v1/things/", "<a/>", content_type="text/xml")
    assert (response.status_code, response.json()["error"]["code"]) == (415, "unsupported_media_type")


def test_an_unknown_path_is_told_about_slashes() -> None:
    message = Client().get("/api/nowhere/").json()["error"]["message"]
    assert message == "There is nothing at /api/nowhere/. Paths outside /api/v1/ have no slash at the end."


def test_a_forged_form_is_refused_in_the_words_of_the_path(people: dict[str, User]) -> None:
    client = Client(enforce_csrf_checks=True)
    assert client.post("/api/fail/missing").json()["error"]["code"] == "csrf_failed"
    response = client.post("/login/", {"username": "vera"})
    assert response.status_code == 403
    assert "Reload the page" in response.content.decode()


async def test_errors_are_the_same_in_the_event_loop() -> None:
    client = AsyncClient(raise_request_exception=False)
    for name, status, code, _ in EXPECTED:
        response = await client.get(f"/api/fail/{name}")
        assert (response.status_code, response.json()["error"]["code"]) == (status, code)


def test_a_host_name_that_is_not_ours_is_400(settings: Any) -> None:
    settings.ALLOWED_HOSTS = ["dpl.example"]
    response = Client().get("/api/nowhere", headers={"Host": "evil.example"})
    assert (response.status_code, response.json()["error"]["code"]) == (400, "bad_request")


def test_every_status_has_a_code() -> None:
    assert all(code.islower() for code in CODES.values())
