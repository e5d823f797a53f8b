"""People and keys in Django's admin."""

from __future__ import annotations

import re

import pytest
from django.test import Client

from accounts.authentication import authenticate, role_of_user
from accounts.models import ApiKey, User
from accounts.services import key_create
from tests.cast import PASSWORD

pytestmark = [pytest.mark.urls("tests.site.urls"), pytest.mark.django_db]


@pytest.fixture
def ada(people: dict[str, User]) -> Client:
    """The admin's browser."""
    client = Client()
    client.force_login(people["ada"])
    return client


def form_of(person: User, **changes: str) -> dict[str, str]:
    form = {
        "username": person.username,
        "role": role_of_user(person),
        "is_active": "on",
        "first_name": "",
        "last_name": "",
        "email": "",
    }
    return {name: value for name, value in (form | changes).items() if value or name != "is_active"}


def test_only_admins_come_in(people: dict[str, User]) -> None:
    client = Client()
    client.force_login(people["otto"])
    assert client.get("/admin/accounts/user/").status_code == 302


def test_people_are_listed_with_their_roles(ada: Client) -> None:
    body = ada.get("/admin/accounts/user/").content.decode()
    for role in ("admin", "operator", "viewer"):
        assert f'<td class="field-role">{role}</td>' in body


def test_a_role_is_given_on_the_persons_page(ada: Client, people: dict[str, User]) -> None:
    path = f"/admin/accounts/user/{people['vera'].pk}/change/"
    assert '<option value="viewer" selected>' in ada.get(path).content.decode()
    assert ada.post(path, form_of(people["vera"], role="operator")).status_code == 302
    assert role_of_user(User.objects.get(username="vera")) == "operator"


def test_the_last_admin_stays(ada: Client, people: dict[str, User]) -> None:
    path = f"/admin/accounts/user/{people['ada'].pk}/change/"
    for form in (form_of(people["ada"], role="viewer"), form_of(people["ada"], is_active="")):
        response = ada.post(path, form)
        assert response.status_code == 200
        assert "This is the last admin." in response.content.decode()
    assert role_of_user(User.objects.get(username="ada")) == "admin"


def test_a_person_is_added_and_then_given_a_role(ada: Client) -> None:
    form = {"username": "nora", "usable_password": "true", "password1": PASSWORD, "password2": PASSWORD}
    response = ada.post("/admin/accounts/user/add/", form)
    assert response.status_code == 302
    assert role_of_user(User.objects.get(username="nora")) == ""
    assert ada.get(response["Location"]).status_code == 200


def test_nobody_is_deleted(ada: Client, people: dict[str, User]) -> None:
    assert ada.get(f"/admin/accounts/user/{people['vera'].pk}/delete/").status_code == 403


def test_a_key_is_made_and_shown_once(ada: Client, people: dict[str, User]) -> None:
    form = {"user": str(people["otto"].pk), "name": "ci", "scopes": ["chat"]}
    response = ada.post("/admin/accounts/apikey/add/", form, follow=True)
    shown = re.search(r"The key is (dpl_[\w-]{40})\.", response.content.decode())
    assert shown
    principal = authenticate(f"Bearer {shown[1]}")
    assert principal is not None
    assert (principal.username, principal.scopes) == ("otto", frozenset({"chat"}))
    assert shown[1] not in ada.get("/admin/accounts/apikey/").content.decode()
    assert ApiKey.objects.count() == 1


def test_a_key_beyond_the_role_is_refused_beside_the_form(ada: Client, people: dict[str, User]) -> None:
    form = {"user": str(people["vera"].pk), "name": "ci", "scopes": ["admin"]}
    response = ada.post("/admin/accounts/apikey/add/", form)
    assert "is not allowed here" in response.content.decode()
    assert not ApiKey.objects.exists()


def test_a_key_is_given_limits_and_freed_of_them(ada: Client, people: dict[str, User]) -> None:
    form = {"user": str(people["otto"].pk), "name": "ci", "scopes": ["chat"], "requests_per_day": "7"}
    ada.post("/admin/accounts/apikey/add/", form)
    made = ApiKey.objects.get()
    assert made.requests_per_day == 7
    path = f"/admin/accounts/apikey/{made.pk}/change/"
    assert ada.post(path, {"tokens_per_minute": "500"}).status_code == 302
    key = ApiKey.objects.get()
    assert (key.requests_per_day, key.tokens_per_minute) == (None, 500)
    assert "must be 1 to" in ada.post(path, {"requests_per_minute": "0"}).content.decode()


def test_keys_are_revoked_and_neither_changed_nor_deleted(ada: Client, people: dict[str, User]) -> None:
    key, plain = key_create(user=people["otto"], name="ci")
    before = ApiKey.objects.values().get()
    forged = {
        "name": "x",
        "scopes": ["admin"],
        "user": str(people["ada"].pk),
        "prefix": "x",
        "expires_at_0": "x",
    }
    assert ada.post(f"/admin/accounts/apikey/{key.pk}/change/", forged).status_code == 302
    assert ApiKey.objects.values().get() == before
    assert ada.post(f"/admin/accounts/apikey/{key.pk}/delete/", {"post": "yes"}).status_code == 403
    assert key.digest not in ada.get(f"/admin/accounts/apikey/{key.pk}/change/").content.decode()
    ada.post("/admin/accounts/apikey/", {"action": "revoke", "_selected_action": [key.pk]})
    assert authenticate(f"Bearer {plain}") is None
    key.refresh_from_db()
    assert key.revoked_at is not None
