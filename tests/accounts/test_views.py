"""Logging in and out, being locked out, changing the password, under WSGI's chain and ASGI's."""

from __future__ import annotations

import re

import pytest
from axes.models import AccessAttempt
from django.test import AsyncClient, Client
from pytest_django import Settings

from accounts.models import User
from tests.cast import PASSWORD

pytestmark = [pytest.mark.urls("tests.site.urls"), pytest.mark.django_db(transaction=True)]


@pytest.fixture
def impatient(settings: Settings) -> Settings:
    """Three wrong passwords are enough."""
    settings.AXES_FAILURE_LIMIT = 3
    return settings


def attempt(client: Client, password: str, **headers: str) -> tuple[int, str]:
    response = client.post("/login/", {"username": "vera", "password": password}, headers=headers)
    return response.status_code, response.content.decode()


def test_a_person_logs_in_and_goes_where_he_was_going(people: dict[str, User]) -> None:
    form = {"username": "vera", "password": PASSWORD, "next": "/page?x=1"}
    client = Client(enforce_csrf_checks=True)
    client.get("/login/")
    form["csrfmiddlewaretoken"] = client.cookies["csrftoken"].value
    response = client.post("/login/", form)
    assert (response.status_code, response["Location"]) == (302, "/page?x=1")
    assert client.get("/login/")["Location"] == "/"


def test_the_login_leads_nowhere_else(people: dict[str, User]) -> None:
    form = {"username": "vera", "password": PASSWORD, "next": "https://evil.example/"}
    assert Client().post("/login/", form)["Location"] == "/"


def test_a_wrong_password_is_told(people: dict[str, User]) -> None:
    status, body = attempt(Client(), "wrong")
    assert status == 200
    assert "correct username and password" in body


def test_a_person_without_a_role_is_told_at_the_login(people: dict[str, User]) -> None:
    people["vera"].groups.clear()
    status, body = attempt(Client(), PASSWORD)
    assert status == 200
    assert "no role yet" in body
    assert "Ask an admin" in body


def test_too_many_wrong_passwords_lock_out_and_say_until_when(
    people: dict[str, User], impatient: Settings
) -> None:
    client = Client()
    assert [attempt(client, "wrong")[0] for _ in range(3)] == [200, 200, 429]
    response = client.post("/login/", {"username": "vera", "password": PASSWORD})
    assert response.status_code == 429
    assert "Try again in 5 minutes." in response.content.decode()
    assert 290 <= int(response["Retry-After"]) <= 300
    assert "sessionid" not in client.cookies


def test_programs_are_locked_out_in_json(people: dict[str, User], impatient: Settings) -> None:
    client = Client()
    for _ in range(3):
        status, body = attempt(client, "wrong", Accept="application/json")
    assert status == 429
    assert '"code": "too_many_requests"' in body


async def test_the_lock_holds_in_the_event_loop_too(people: dict[str, User], impatient: Settings) -> None:
    client = AsyncClient()
    form = {"username": "vera", "password": "wrong"}
    assert [(await client.post("/login/", form)).status_code for _ in range(4)] == [200, 200, 429, 429]


def test_knocking_on_does_not_prolong_the_lock(people: dict[str, User], impatient: Settings) -> None:
    client = Client()
    for _ in range(3):
        attempt(client, "wrong")
    before = AccessAttempt.objects.get()
    attempt(client, "wrong")
    after = AccessAttempt.objects.get()
    assert (before.attempt_time, before.failures_since_start) == (
        after.attempt_time,
        after.failures_since_start,
    )


def test_one_persons_lock_is_not_anothers(people: dict[str, User], impatient: Settings) -> None:
    client = Client()
    for _ in range(3):
        attempt(client, "wrong")
    form = {"username": "otto", "password": PASSWORD}
    assert client.post("/login/", form).status_code == 302
    elsewhere = Client(REMOTE_ADDR="192.0.2.7")
    assert attempt(elsewhere, PASSWORD)[0] == 302


def test_a_success_forgets_the_failures(people: dict[str, User], impatient: Settings) -> None:
    client = Client()
    assert [attempt(client, word)[0] for word in ("no", "no", PASSWORD)] == [200, 200, 302]
    client.logout()
    assert [attempt(client, word)[0] for word in ("no", "no", PASSWORD)] == [200, 200, 302]


def test_a_person_logs_out_by_post_only(people: dict[str, User]) -> None:
    client = Client()
    client.force_login(people["vera"])
    assert client.get("/logout/").status_code == 405
    assert client.post("/logout/")["Location"] == "/login/"
    assert client.get("/password/").status_code == 302


def test_a_person_changes_his_password(people: dict[str, User]) -> None:
    client = Client()
    client.force_login(people["vera"])
    new = "a staple for the battery"
    form = {"old_password": PASSWORD, "new_password1": new, "new_password2": new}
    assert client.post("/password/", form)["Location"] == "/"
    assert User.objects.get(username="vera").check_password(new)


def test_pages_have_no_inline_script_or_style_and_no_foreign_address(people: dict[str, User]) -> None:
    client = Client()
    pages = [client.get("/login/")]
    client.force_login(people["ada"])
    pages += [client.get("/password/"), client.get("/nowhere"), client.get("/api/docs")]
    for page in pages:
        body = page.content.decode()
        assert "<style" not in body
        assert "style=" not in body
        assert "http:" not in body
        assert "https:" not in body
        assert body.count("<script") == len(re.findall(r"<script (?:type=\"module\" )?src=", body))
        assert "default-src 'self'" in page["Content-Security-Policy"]
        assert "unsafe" not in page["Content-Security-Policy"]
