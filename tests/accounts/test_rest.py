"""Keys, sessions and scopes in Django REST framework's views."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from accounts.models import User

pytestmark = [pytest.mark.urls("tests.site.urls"), pytest.mark.django_db]

Api = Callable[[str], Client]
JSON = "application/json"


def test_each_method_asks_for_its_scope(api: Api) -> None:
    assert api("vera").get("/api/v1/things/").json() == {"who": "vera"}
    response = api("vera").post("/api/v1/things/", {"name": "x"}, content_type=JSON)
    assert response.status_code == 403
    assert response.json()["error"] == {
        "message": "This needs the scope 'datasets'. This key has: read.",
        "code": "missing_scope",
        "detail": {"scope": "datasets"},
    }
    assert api("otto").post("/api/v1/things/", {"name": "x"}, content_type=JSON).status_code == 201


def test_a_method_that_nobody_answers_is_405_before_it_is_403(api: Api) -> None:
    response = api("vera").delete("/api/v1/things/")
    assert (response.status_code, response["Allow"]) == (405, "GET, POST, HEAD, OPTIONS")


def test_a_wrong_key_is_401_even_beside_a_session(people: dict[str, User]) -> None:
    client = Client(headers={"Authorization": "Token dpl_wrong"})
    client.force_login(people["vera"])
    response = client.get("/api/v1/things/")
    assert (response.status_code, response["WWW-Authenticate"]) == (401, "Bearer")
    assert "unknown, revoked or expired" in response.json()["error"]["message"]


def test_a_session_lets_in_with_its_roles_scopes(people: dict[str, User]) -> None:
    client = Client()
    client.force_login(people["vera"])
    assert client.get("/api/v1/things").json() == {"who": "vera"}
    assert client.post("/api/v1/things", {"name": "x"}, content_type=JSON).status_code == 403


def test_another_scheme_is_no_attempt_to_show_a_key(people: dict[str, User]) -> None:
    client = Client(headers={"Authorization": "Basic eDp5"})
    assert client.get("/api/v1/things").status_code == 401
    client.force_login(people["vera"])
    assert client.get("/api/v1/things").status_code == 200


def test_a_remembered_key_costs_the_view_no_query(
    api: Api, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    client = api("vera")
    client.get("/api/v1/things/")
    with django_assert_num_queries(0):
        client.get("/api/v1/things/")
