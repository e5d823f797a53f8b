"""The page of keys as each role gets it: made and shown once, found, limited, revoked."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client

from accounts.authentication import authenticate
from accounts.examples import examples
from accounts.models import ApiKey, User
from accounts.services import key_create, key_revoke
from dpl_site.lib.clock import utc_now

pytestmark = [pytest.mark.urls("tests.site.urls"), pytest.mark.django_db]

HOSTILE = '"><script>alert(1)</script>'


def browser(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def make(user: User, /, **form: Any) -> Any:
    known = {"name": "notebook", "scopes": ["read"], "lasts": ""}
    return browser(user).post("/keys/", known | form)


def plain_in(response: Any) -> str:
    found = re.search(r'<code id="plain">(dpl_[\w-]+)</code>', response.content.decode())
    assert found, response.content.decode()
    return found[1]


def test_a_key_is_made_works_and_is_shown_this_once(people: dict[str, User]) -> None:
    response = make(people["otto"], scopes=["read", "chat"])
    plain = plain_in(response)
    principal = authenticate(f"Bearer {plain}")
    assert principal is not None
    assert (principal.username, sorted(principal.scopes)) == ("otto", ["chat", "read"])
    assert response["Cache-Control"] == "no-store"
    assert plain not in browser(people["otto"]).get("/keys/").content.decode()


def test_examples_hold_the_key_and_this_servers_address(people: dict[str, User]) -> None:
    response = make(people["otto"], scopes=["read", "chat"])
    page, plain = response.content.decode(), plain_in(response)
    assert page.count(plain) == 5
    assert "http://testserver/v1" in page


def test_a_server_with_an_address_of_its_own_says_that(people: dict[str, User], settings: Any) -> None:
    settings.DPL_PUBLIC_URL = "https://llm.example"
    assert "https://llm.example/v1" in make(people["otto"], scopes=["read", "chat"]).content.decode()


def test_a_viewers_key_gets_examples_that_it_may_do(people: dict[str, User]) -> None:
    page = make(people["vera"]).content.decode()
    assert "/v1/models" in page
    assert "chat/completions" not in page


def test_nobody_makes_a_key_that_may_more_than_himself(people: dict[str, User]) -> None:
    for name, scope in (("vera", "chat"), ("otto", "admin")):
        response = make(people[name], scopes=[scope])
        assert response.status_code == 400
        assert "errorlist" in response.content.decode()
    assert not ApiKey.objects.exists()


def test_a_key_ends_when_it_is_told_to(people: dict[str, User]) -> None:
    make(people["otto"], lasts="7")
    left = ApiKey.objects.get().expires_at - utc_now()  # type: ignore[operator]
    assert timedelta(days=6, hours=23) < left <= timedelta(days=7)


def test_limits_are_kept_and_nonsense_is_told_at_its_field(people: dict[str, User]) -> None:
    make(people["otto"], requests_per_minute="60")
    assert ApiKey.objects.get().requests_per_minute == 60
    response = make(people["otto"], tokens_per_day="0", name="kept")
    assert response.status_code == 400
    assert 'value="kept"' in response.content.decode()
    assert ApiKey.objects.count() == 1


def test_an_admin_makes_a_key_for_another_and_others_cannot(people: dict[str, User]) -> None:
    make(people["ada"], user="otto")
    assert ApiKey.objects.get().user == people["otto"]
    make(people["otto"], user="stan", name="mine")
    assert not ApiKey.objects.filter(user=people["stan"]).exists()


def test_a_scope_beyond_the_others_role_is_told(people: dict[str, User]) -> None:
    response = make(people["ada"], user="vera", scopes=["read", "chat"])
    assert response.status_code == 400
    assert "not allowed here" in response.content.decode()


def test_a_person_sees_his_own_and_an_admin_all(people: dict[str, User], keys: dict[str, str]) -> None:
    mine = browser(people["otto"]).get("/keys/").content.decode()
    assert mine.count('<tr data-is="good">') == 1
    assert "Limits…" not in mine
    everybodys = browser(people["ada"]).get("/keys/").content.decode()
    assert everybodys.count('<tr data-is="good">') == len(people)
    assert "Limits…" in everybodys


def test_ended_keys_are_shown_when_asked_for(people: dict[str, User]) -> None:
    key_revoke(key=key_create(user=people["otto"], name="old")[0])
    past = key_create(user=people["otto"], name="past")[0]
    ApiKey.objects.filter(pk=past.pk).update(expires_at=utc_now() - timedelta(days=1))
    client = browser(people["otto"])
    assert "No key yet" in client.get("/keys/").content.decode()
    page = client.get("/keys/?all=1").content.decode()
    assert ('<tr data-is="revoked">' in page, '<tr data-is="expired">' in page) == (True, True)
    assert "Revoke…" not in page


def test_keys_are_found_by_name_beginning_and_owner(people: dict[str, User]) -> None:
    key, _ = key_create(user=people["otto"], name="notebook")
    key_create(user=people["stan"], name="other")
    client = browser(people["ada"])
    for words in ("NOTE", key.prefix, "otto"):
        page = client.get("/keys/", {"q": words}).content.decode()
        assert page.count("<tr data-is=") == 1, words
    assert "No key has" in client.get("/keys/", {"q": HOSTILE}).content.decode()


def test_an_owner_revokes_and_a_stranger_cannot(people: dict[str, User]) -> None:
    key, plain = key_create(user=people["otto"], name="notebook")
    assert browser(people["stan"]).post(f"/keys/{key.pk}/revoke").status_code == 404
    assert authenticate(f"Bearer {plain}")
    assert browser(people["otto"]).post(f"/keys/{key.pk}/revoke")["Location"] == "/keys/"
    assert authenticate(f"Bearer {plain}") is None


def test_limits_are_for_admins_to_change(people: dict[str, User]) -> None:
    key, _ = key_create(user=people["otto"], name="notebook", limits={"tokens_per_day": 5})
    form = {"requests_per_day": "9"}
    assert browser(people["otto"]).post(f"/keys/{key.pk}/limits", form).status_code == 403
    assert browser(people["ada"]).post(f"/keys/{key.pk}/limits", form).status_code == 302
    key.refresh_from_db()
    assert (key.requests_per_day, key.tokens_per_day) == (9, None)
    browser(people["ada"]).post(f"/keys/{key.pk}/limits", {"requests_per_day": "-1"})
    key.refresh_from_db()
    assert key.requests_per_day == 9


@pytest.mark.parametrize("action", ["revoke", "limits"])
def test_a_login_in_between_leads_back(people: dict[str, User], action: str) -> None:
    assert browser(people["ada"]).get(f"/keys/1/{action}")["Location"] == "/keys/"


def test_a_form_from_elsewhere_is_refused(people: dict[str, User]) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(people["otto"])
    assert client.post("/keys/", {"name": "x", "scopes": ["read"]}).status_code == 403
    assert not ApiKey.objects.exists()


def test_names_are_text_and_never_markup(people: dict[str, User]) -> None:
    page = make(people["otto"], name=HOSTILE).content.decode()
    assert "<script>alert" not in page
    assert page.count("&lt;script&gt;alert(1)") >= 2


def test_a_stranger_is_led_to_the_login() -> None:
    assert Client().get("/keys/")["Location"] == "/login/?next=/keys/"


def test_examples_name_a_python_program_that_compiles() -> None:
    for example in examples(server="http://dpl:8000/", key="dpl_x"):
        assert "http://dpl:8000" in example.code
        assert "dpl_x" in example.code
        if "Python" in example.name:
            compile(example.code, example.name, "exec")
