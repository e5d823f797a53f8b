"""Making and revoking keys, giving roles, the first admin."""

from __future__ import annotations

import re
from datetime import timedelta
from io import StringIO

import pytest
from django.contrib.auth.models import Group
from django.core.management import call_command

from accounts import roles
from accounts.authentication import authenticate, role_of_user
from accounts.models import ApiKey, User
from accounts.services import (
    ensure_admin,
    key_create,
    key_revoke,
    keys_prune,
    role_set,
    roles_ensure,
    user_create,
)
from dpl_site.lib.clock import utc_now
from dpl_site.lib.refusals import Refused
from tests.cast import PASSWORD


def test_the_key_itself_is_kept_nowhere(people: dict[str, User]) -> None:
    key, plain = key_create(user=people["otto"], name="ci")
    row = ApiKey.objects.filter(pk=key.pk).values().get()
    assert plain not in str(row)
    assert row["prefix"] == plain[:12]


@pytest.mark.parametrize(
    ("name", "scopes"),
    [
        ("vera", ["read"]),
        ("otto", ["read", "chat", "datasets"]),
        ("ada", ["read", "chat", "datasets", "admin"]),
    ],
)
def test_a_key_has_by_default_all_that_the_role_allows(
    people: dict[str, User], name: str, scopes: list[str]
) -> None:
    key, _ = key_create(user=people[name], name="ci")
    assert key.scopes == scopes


@pytest.mark.parametrize(
    ("person", "scopes", "words"),
    [
        ("vera", ["read", "chat"], "The scope 'chat' is not allowed here: vera may give read."),
        ("otto", ["admin"], "'admin'"),
        ("otto", ["fly"], "There is no scope 'fly'"),
        ("otto", [], "Choose at least one scope of read, chat, datasets."),
    ],
)
def test_a_key_never_has_more_than_the_role_allows(
    people: dict[str, User], person: str, scopes: list[str], words: str
) -> None:
    with pytest.raises(Refused, match=re.escape(words)) as refused:
        key_create(user=people[person], name="ci", scopes=scopes)
    assert refused.value.detail is not None
    assert list(refused.value.detail) == ["scopes"]


def test_a_key_makes_no_key_that_may_more_or_lives_longer(people: dict[str, User]) -> None:
    end = utc_now() + timedelta(hours=1)
    _, plain = key_create(user=people["ada"], name="reader", scopes=["read"], expires_at=end)
    by = authenticate(f"Bearer {plain}")
    key, _ = key_create(user=people["ada"], name="child", by=by)
    assert (key.scopes, key.expires_at) == (["read"], end)
    with pytest.raises(Refused, match="'admin' is not allowed here"):
        key_create(user=people["ada"], name="child", scopes=["admin"], by=by)
    sooner = end - timedelta(minutes=30)
    assert key_create(user=people["ada"], name="child", expires_at=sooner, by=by)[0].expires_at == sooner


def test_a_key_needs_a_name_and_an_end_to_come(people: dict[str, User]) -> None:
    for name in ("", "   ", "x" * 101):
        with pytest.raises(Refused, match="1 to 100 characters"):
            key_create(user=people["vera"], name=name)
    with pytest.raises(Refused, match="already have expired"):
        key_create(user=people["vera"], name="ci", expires_at=utc_now())


def test_nobody_fills_the_table_with_keys(people: dict[str, User], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("accounts.services.MOST_KEYS", 2)
    key, _ = key_create(user=people["vera"], name="1")
    key_create(user=people["vera"], name="2")
    with pytest.raises(Refused, match="Revoke some first"):
        key_create(user=people["vera"], name="3")
    key_revoke(key=key)
    key_create(user=people["vera"], name="3")


def test_a_person_without_a_role_gets_no_key(db: None) -> None:
    with pytest.raises(Refused, match="has no role"):
        key_create(user=User.objects.create_user(username="new"), name="ci")


def test_revoking_twice_keeps_the_first_moment(people: dict[str, User]) -> None:
    key, _ = key_create(user=people["vera"], name="ci")
    key_revoke(key=key)
    first = key.revoked_at
    key_revoke(key=key)
    assert first is not None
    assert key.revoked_at == first


def test_keys_that_ended_long_ago_are_pruned(people: dict[str, User]) -> None:
    long_ago = utc_now() - timedelta(days=31)
    made = {
        name: key_create(user=people["vera"], name=name)[0].pk
        for name in ("live", "revoked", "ran out", "new")
    }
    ApiKey.objects.filter(pk=made["revoked"]).update(revoked_at=long_ago)
    ApiKey.objects.filter(pk=made["ran out"]).update(expires_at=long_ago)
    ApiKey.objects.filter(pk=made["new"]).update(revoked_at=utc_now())
    assert keys_prune(older_than_days=30) == 2
    assert set(ApiKey.objects.values_list("name", flat=True)) == {"live", "new"}


def test_the_groups_of_the_roles_come_with_the_migrations(db: None) -> None:
    assert set(Group.objects.values_list("name", flat=True)) >= set(roles.ROLES)
    roles_ensure()
    call_command("migrate", stdout=StringIO())
    assert Group.objects.filter(name__in=roles.ROLES).count() == 3


def test_a_person_has_one_role_at_a_time(people: dict[str, User]) -> None:
    otto = people["otto"]
    role_set(user=otto, role="viewer")
    assert list(otto.groups.values_list("name", flat=True)) == ["viewer"]
    role_set(user=otto, role="admin")
    assert (role_of_user(otto), otto.is_staff, otto.is_superuser) == ("admin", True, True)
    role_set(user=otto, role="")
    assert (role_of_user(otto), otto.is_staff, otto.is_superuser) == ("", False, False)


def test_a_role_that_is_none_is_refused(people: dict[str, User]) -> None:
    with pytest.raises(Refused, match="There is no role 'janitor'"):
        role_set(user=people["otto"], role="janitor")
    with pytest.raises(Refused, match="There is no role"):
        user_create(username="x", password=PASSWORD, role="")


def test_the_last_admin_stays_admin(people: dict[str, User]) -> None:
    with pytest.raises(Refused, match="ada is the last admin"):
        role_set(user=people["ada"], role="viewer")
    role_set(user=people["otto"], role="admin")
    role_set(user=people["ada"], role="viewer")
    assert role_of_user(people["ada"]) == "viewer"


def test_a_name_is_given_once(people: dict[str, User]) -> None:
    with pytest.raises(Refused, match="There is a vera already"):
        user_create(username="vera", password=PASSWORD, role="viewer")


def test_an_empty_installation_gets_an_admin_once(db: None) -> None:
    password = ensure_admin()
    assert password is not None
    assert len(password) >= 12
    admin = User.objects.get()
    assert (admin.username, admin.check_password(password), role_of_user(admin)) == ("admin", True, "admin")
    assert ensure_admin() is None


def test_an_installation_with_people_gets_no_admin(people: dict[str, User]) -> None:
    assert ensure_admin() is None
    assert not User.objects.filter(username="admin").exists()
