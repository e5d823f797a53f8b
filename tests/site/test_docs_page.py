"""`/api/schema` and `/api/docs`."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.staticfiles import finders
from django.test import Client
from drf_spectacular.drainage import GENERATOR_STATS

from accounts.models import User

pytestmark = [pytest.mark.urls("tests.site.urls"), pytest.mark.django_db]

Api = Callable[[str], Client]


def test_the_schema_is_json_for_who_may_read(api: Api) -> None:
    assert api("").get("/api/schema").status_code == 401
    schema = api("vera").get("/api/schema")
    assert schema["Content-Type"].startswith("application/vnd.oai.openapi+json")
    assert "/api/v1/keys/" in schema.json()["paths"]
    scheme = schema.json()["components"]["securitySchemes"]["API key"]
    assert (scheme["type"], scheme["scheme"]) == ("http", "bearer")


def test_the_schema_is_valid_and_made_without_a_warning(keys: dict[str, str]) -> None:
    GENERATOR_STATS.reset()
    with GENERATOR_STATS.silence():
        schema = Client(headers={"Authorization": f"Bearer {keys['ada']}"}).get("/api/schema").json()
    assert (dict(GENERATOR_STATS._warn_cache), dict(GENERATOR_STATS._error_cache)) == ({}, {})
    keys_and_usage = {"/api/v1/keys/", "/api/v1/keys/{id}/", "/api/v1/usage/"}
    assert set(schema["paths"]) == {*keys_and_usage, "/api/v1/things/"}


def test_the_page_is_for_people_and_local(people: dict[str, User], api: Api) -> None:
    assert Client().get("/api/docs")["Location"] == "/login/?next=/api/docs"
    assert api("vera").get("/api/docs").status_code == 200
    client = Client()
    client.force_login(people["vera"])
    body = client.get("/api/docs").content.decode()
    for name in ("swagger-ui.css", "swagger-ui-bundle.js"):
        assert f"/static/drf_spectacular_sidecar/swagger-ui-dist/{name}" in body
        assert finders.find(f"drf_spectacular_sidecar/swagger-ui-dist/{name}")
    script = client.get("/api/docs?script=")
    assert script["Content-Type"] == "application/javascript"
    assert "/api/schema" in script.content.decode()


def test_the_page_is_read_only(api: Api) -> None:
    assert api("vera").post("/api/docs").status_code == 405
