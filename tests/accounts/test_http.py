"""The guards of plain views: keys, sessions, scopes, CSRF, methods; the same for sync and async views."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from django.test import AsyncClient, Client
from django.test.client import MULTIPART_CONTENT, encode_multipart

from accounts.models import User
from accounts.services import key_create

pytestmark = [pytest.mark.urls("tests.site.urls"), pytest.mark.django_db(transaction=True)]

Api = Callable[[str], Client]
ROOMS = ["/api/sync", "/api/async"]


def token_of(client: Client) -> str:
    """A CSRF token for a logged-in client, as our pages hold it."""
    found = re.search(rb'name="csrfmiddlewaretoken" value="([^"]+)"', client.get("/password/").content)
    assert found
    return found[1].decode()


def logged_in(user: User) -> Client:
    """A browser in which a person has logged in, with CSRF checks on."""
    client = Client(enforce_csrf_checks=True)
    client.force_login(user)
    return client


@pytest.mark.parametrize("path", ROOMS)
def test_a_key_with_the_scope_lets_in(api: Api, path: str) -> None:
    assert api("otto").get(path).json()["who"] == "otto"
    assert api("otto").post(path).json()["who"] == "otto"


@pytest.mark.parametrize("path", ROOMS)
def test_without_a_key_it_says_how_to_come_in(db: None, path: str) -> None:
    response = Client().get(path)
    assert response.status_code == 401
    assert response["WWW-Authenticate"] == "Bearer"
    assert response.json() == {
        "error": {
            "message": "Send an API key (Authorization: Bearer dpl_…) or log in.",
            "code": "unauthenticated",
        }
    }


@pytest.mark.parametrize("path", ROOMS)
def test_a_wrong_key_is_refused_even_beside_a_session(people: dict[str, User], path: str) -> None:
    client = Client(headers={"Authorization": "Bearer dpl_wrong"})
    client.force_login(people["otto"])
    response = client.get(path)
    assert (response.status_code, response.json()["error"]["code"]) == (401, "invalid_api_key")


@pytest.mark.parametrize("path", ROOMS)
def test_the_missing_scope_is_named(api: Api, people: dict[str, User], path: str) -> None:
    response = api("vera").get(path)
    assert response.status_code == 403
    error = response.json()["error"]
    assert error["message"] == "This needs the scope 'datasets'. This key has: read."
    assert (error["code"], error["detail"]) == ("missing_scope", {"scope": "datasets"})
    _, plain = key_create(user=people["ada"], name="chat only", scopes=["chat"])
    assert Client(headers={"Authorization": f"Bearer {plain}"}).get(path).status_code == 403


@pytest.mark.parametrize("path", ROOMS)
def test_a_session_has_its_roles_scopes(people: dict[str, User], path: str) -> None:
    assert logged_in(people["otto"]).get(path).json()["who"] == "otto"
    response = logged_in(people["vera"]).get(path)
    assert response.status_code == 403
    assert "Your role, viewer, has: read." in response.json()["error"]["message"]


@pytest.mark.parametrize("path", ROOMS)
def test_a_person_without_a_role_is_told_so(db: None, path: str) -> None:
    response = logged_in(User.objects.create_user(username="new")).get(path)
    assert response.status_code == 403
    assert "no role yet" in response.json()["error"]["message"]


@pytest.mark.parametrize("path", ROOMS)
def test_a_session_changes_nothing_without_a_csrf_token(people: dict[str, User], path: str) -> None:
    client = logged_in(people["otto"])
    response = client.post(path)
    assert (response.status_code, response.json()["error"]["code"]) == (403, "csrf_failed")
    token = token_of(client)
    assert client.post(path, headers={"X-CSRFToken": token}).status_code == 200
    assert client.post(path, {"csrfmiddlewaretoken": token, "x": "1"}).status_code == 200
    assert client.post(path, headers={"X-CSRFToken": "x" * 64}).status_code == 403


@pytest.mark.parametrize("path", ROOMS)
def test_a_foreign_page_changes_nothing_even_with_a_token(people: dict[str, User], path: str) -> None:
    client = logged_in(people["otto"])
    headers = {"X-CSRFToken": token_of(client), "Origin": "https://evil.example"}
    assert client.post(path, headers=headers).status_code == 403


@pytest.mark.parametrize("path", ROOMS)
def test_a_key_needs_no_csrf_token(keys: dict[str, str], people: dict[str, User], path: str) -> None:
    client = logged_in(people["vera"])
    assert client.post(path, headers={"Authorization": f"Bearer {keys['otto']}"}).json()["who"] == "otto"


def test_a_token_in_the_header_leaves_the_body_unread(people: dict[str, User]) -> None:
    client = logged_in(people["otto"])
    body = encode_multipart("BoUnDaRyStRiNg", {"file": "x" * 1000})
    headers = {"X-CSRFToken": token_of(client)}
    response = client.generic("POST", "/api/streamed", body, content_type=MULTIPART_CONTENT, headers=headers)
    assert response.json() == {"length": len(body)}


@pytest.mark.parametrize("path", ["/api/sync", "/api/async", "/v1/models", "/api/tags"])
def test_another_method_is_405_with_what_is_allowed(api: Api, path: str) -> None:
    response = api("otto").delete(path)
    assert response.status_code == 405
    assert response["Allow"] == "GET, HEAD, POST"
    assert "DELETE is not possible here. Use GET or POST." in response.content.decode()
    assert api("otto").head(path).status_code == 200


def test_refusals_speak_the_language_of_the_path(db: None) -> None:
    openai = Client().get("/v1/models").json()["error"]
    assert (openai["type"], openai["param"], openai["code"]) == (
        "authentication_error",
        None,
        "unauthenticated",
    )
    assert Client().get("/api/tags").json() == {"error": openai["message"]}


def test_what_a_view_refuses_becomes_its_answer(api: Api) -> None:
    for path in ("/api/refusing", "/api/refusing-async"):
        response = api("vera").get(path)
        assert (response.status_code, response.json()["error"]["code"]) == (409, "stuck")
    assert api("vera").get("/api/refusing").json()["error"]["detail"] == {"door": ["Push."]}


async def test_both_kinds_of_view_work_in_the_event_loop(keys: dict[str, str]) -> None:
    for path in ROOMS:
        response = await AsyncClient().get(path, headers={"Authorization": f"Bearer {keys['otto']}"})
        assert response.json()["who"] == "otto"


async def test_sessions_work_in_the_event_loop(people: dict[str, User]) -> None:
    client = AsyncClient(enforce_csrf_checks=True)
    await client.aforce_login(people["otto"])
    for path in ROOMS:
        assert (await client.get(path)).json()["who"] == "otto"
        assert (await client.post(path)).status_code == 403


def test_a_page_leads_to_the_login(db: None) -> None:
    response = Client().get("/page?x=1")
    assert response.status_code == 302
    assert response["Location"] == "/login/?next=/page%3Fx%3D1"


def test_a_page_lets_in_by_session_and_for_reading_by_key(people: dict[str, User], api: Api) -> None:
    client = Client()
    client.force_login(people["otto"])
    assert client.get("/page").content == b"hello otto"
    assert api("ada").get("/page").content == b"hello ada"
    assert api("ada").post("/page").status_code == 302


def test_a_page_tells_in_words_what_is_missing(people: dict[str, User]) -> None:
    response = logged_in(people["vera"]).get("/page")
    assert response.status_code == 403
    assert "text/html" in response["Content-Type"]
    assert "needs the scope &#x27;datasets&#x27;" in response.content.decode()


def test_a_pages_form_needs_a_token(people: dict[str, User]) -> None:
    response = logged_in(people["otto"]).post("/page")
    assert response.status_code == 403
    assert "Reload the page" in response.content.decode()
