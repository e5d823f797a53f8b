"""`/api/v1/keys/`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client

from accounts.models import ApiKey, User
from accounts.services import key_create
from dpl_site.lib.clock import utc_now

pytestmark = [pytest.mark.urls("tests.site.urls"), pytest.mark.django_db]

Api = Callable[[str], Client]
JSON = "application/json"


def make(client: Client, **asked: Any) -> Any:
    return client.post("/api/v1/keys/", asked, content_type=JSON)


def names(response: Any) -> set[str]:
    return {key["user"] for key in response.json()["results"]}


def test_a_person_sees_his_own_keys_and_never_their_digest(api: Api) -> None:
    response = api("vera").get("/api/v1/keys/")
    assert response.json()["count"] == 1
    key = response.json()["results"][0]
    assert set(key) == {
        *("id", "user", "name", "prefix", "scopes"),
        *("created_at", "expires_at", "revoked_at", "last_used_at"),
        *("requests_per_minute", "requests_per_day", "tokens_per_minute", "tokens_per_day"),
    }
    assert key["created_at"].endswith("Z")
    assert ApiKey.objects.get(pk=key["id"]).digest not in response.content.decode()


def test_an_admin_sees_all_keys_or_one_persons(api: Api) -> None:
    assert names(api("ada").get("/api/v1/keys/")) == {"ada", "otto", "vera", "stan"}
    assert names(api("ada").get("/api/v1/keys/?user=otto")) == {"otto"}
    assert names(api("otto").get("/api/v1/keys/?user=vera")) == set()


def test_keys_come_in_pages(api: Api, people: dict[str, User]) -> None:
    for number in range(4):
        key_create(user=people["vera"], name=str(number))
    first = api("vera").get("/api/v1/keys/?page_size=2").json()
    assert (first["count"], len(first["results"]), first["previous"]) == (5, 2, None)
    assert "page=2" in first["next"]
    response = api("vera").get("/api/v1/keys/?page=9")
    assert (response.status_code, response.json()["error"]["code"]) == (404, "not_found")


def test_both_spellings_of_the_path_work(api: Api) -> None:
    assert api("vera").get("/api/v1/keys").json() == api("vera").get("/api/v1/keys/").json()
    made = api("vera").post("/api/v1/keys", {"name": "x"}, content_type=JSON)
    assert made.status_code == 201
    for path in (f"/api/v1/keys/{made.json()['id']}", f"/api/v1/keys/{made.json()['id']}/"):
        assert api("vera").get(path).json()["name"] == "x"


def test_a_made_key_is_shown_once_and_works(api: Api) -> None:
    response = make(api("otto"), name="ci", scopes=["chat", "read"])
    assert response.status_code == 201
    assert response["Cache-Control"] == "no-store"
    made = response.json()
    assert (made["scopes"], made["user"]) == (["read", "chat"], "otto")
    client = Client(headers={"Authorization": f"Bearer {made['key']}"})
    shown = client.get(f"/api/v1/keys/{made['id']}").json()
    assert "key" not in shown
    assert shown["prefix"] == made["key"][:12]


def test_a_key_may_have_an_end(api: Api) -> None:
    end = utc_now() + timedelta(days=1)
    assert make(api("vera"), name="ci", expires_at=end.isoformat()).json()["expires_at"]
    response = make(api("vera"), name="ci", expires_at="2001-01-01T00:00:00Z")
    assert response.status_code == 400
    assert "already have expired" in response.json()["error"]["message"]


@pytest.mark.parametrize(
    ("asked", "field", "words"),
    [
        ({}, "name", "name: This field is required."),
        ({"name": " "}, "name", "name: "),
        ({"name": 7, "scopes": "read"}, "scopes", "scopes: Expected a list"),
        ({"name": "x", "scopes": ["fly"]}, "scopes", 'scopes.0: "fly" is not a valid choice.'),
        (
            {"name": "x", "scopes": ["admin"]},
            "scopes",
            "The scope 'admin' is not allowed here: otto may give",
        ),
        ({"name": "x", "expires_at": "tomorrow"}, "expires_at", "expires_at: "),
    ],
)
def test_a_wrong_wish_is_answered_with_the_field_and_a_sentence(
    api: Api, asked: dict[str, Any], field: str, words: str
) -> None:
    response = make(api("otto"), **asked)
    assert response.status_code == 400
    error = response.json()["error"]
    assert error["message"].startswith(words)
    assert field in error["detail"]
    assert error["code"] == "invalid"


def test_a_key_cannot_make_a_stronger_one(api: Api, people: dict[str, User]) -> None:
    _, plain = key_create(user=people["ada"], name="reader", scopes=["read"])
    reader = Client(headers={"Authorization": f"Bearer {plain}"})
    assert make(reader, name="x").json()["scopes"] == ["read"]
    assert make(reader, name="x", scopes=["admin"]).status_code == 400


def test_an_admin_makes_keys_for_others_and_nobody_else_does(api: Api) -> None:
    made = make(api("ada"), name="for otto", user="otto").json()
    assert (made["user"], made["scopes"]) == ("otto", ["read", "chat", "datasets"])
    assert make(api("otto"), name="x", user="vera").status_code == 404
    assert make(api("ada"), name="x", user="nobody").status_code == 404


def test_a_key_is_revoked_and_its_row_stays(api: Api) -> None:
    made = make(api("otto"), name="ci").json()
    path = f"/api/v1/keys/{made['id']}/"
    assert api("otto").delete(path).status_code == 204
    assert api("otto").delete(path).status_code == 204
    assert api("otto").get(path).json()["revoked_at"] is not None
    assert Client(headers={"Authorization": f"Bearer {made['key']}"}).get(path).status_code == 401


def test_another_persons_key_is_not_there(api: Api) -> None:
    made = make(api("otto"), name="ci").json()
    path = f"/api/v1/keys/{made['id']}/"
    for response in (api("stan").get(path), api("stan").delete(path)):
        error = {"message": "This does not exist, or it is not yours.", "code": "not_found"}
        assert (response.status_code, response.json()["error"]) == (404, error)
    assert api("ada").delete(path).status_code == 204


@pytest.mark.parametrize("path", ["/api/v1/keys/0/", "/api/v1/keys/x/", f"/api/v1/keys/{'9' * 18}/"])
def test_a_key_that_is_none_is_404_in_json(api: Api, path: str) -> None:
    response = api("ada").get(path)
    assert (response.status_code, response.json()["error"]["code"]) == (404, "not_found")


def test_without_a_key_it_is_401_and_with_a_wrong_method_405(api: Api) -> None:
    response = api("").get("/api/v1/keys/")
    assert (response.status_code, response["WWW-Authenticate"]) == (401, "Bearer")
    assert response.json()["error"]["code"] == "unauthenticated"
    response = api("vera").put("/api/v1/keys/", {}, content_type=JSON)
    assert (response.status_code, response.json()["error"]["code"]) == (405, "method_not_allowed")


def test_an_admin_sets_limits_and_nobody_else_does(api: Api, people: dict[str, User]) -> None:
    made = make(api("otto"), name="ci", requests_per_minute=9).json()
    assert (made["requests_per_minute"], made["tokens_per_day"]) == (9, None)
    path, wanted = f"/api/v1/keys/{made['id']}/", {"requests_per_minute": None, "tokens_per_day": 1000}
    assert api("otto").patch(path, wanted, content_type=JSON).status_code == 403
    changed = api("ada").patch(path, wanted, content_type=JSON).json()
    assert (changed["requests_per_minute"], changed["tokens_per_day"]) == (None, 1000)
    assert api("ada").patch(path, {"name": "x"}, content_type=JSON).json()["name"] == "ci"


@pytest.mark.parametrize("wrong", [0, -1, "many", 10**13])
def test_a_limit_that_is_none_is_refused_by_its_name(api: Api, wrong: object) -> None:
    response = make(api("ada"), name="x", requests_per_day=wrong)
    assert (response.status_code, list(response.json()["error"]["detail"])) == (400, ["requests_per_day"])


def test_a_key_with_limits_makes_no_keys(api: Api) -> None:
    made = make(api("otto"), name="ci", requests_per_day=3).json()
    limited = Client(headers={"Authorization": f"Bearer {made['key']}"})
    assert make(limited, name="more").status_code == 400


def test_a_session_makes_keys_with_its_token_only(people: dict[str, User]) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(people["vera"])
    response = make(client, name="x")
    assert (response.status_code, response.json()["error"]["code"]) == (403, "forbidden")
    assert client.get("/api/v1/keys/").status_code == 200
