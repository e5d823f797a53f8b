"""The one `authenticate`: which keys let in, for how long an answer is remembered, and sessions."""

from __future__ import annotations

import asyncio
import threading
import time
from datetime import timedelta

import pytest
from django.contrib.auth.models import AnonymousUser
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from accounts import authentication
from accounts.authentication import (
    Principal,
    authenticate,
    authenticate_async,
    authenticate_scope,
    principal_of_user,
)
from accounts.keys import new_key
from accounts.last_used import last_used
from accounts.models import ApiKey, User
from accounts.recent import Recent
from accounts.services import key_create, key_revoke, role_set
from dpl_site.lib.clock import utc_now
from dpl_site.lib.db import call
from tests.cast import PASSWORD


def bearer(plain: str) -> str:
    return f"Bearer {plain}"


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "Token"])
def test_a_key_lets_its_owner_in_with_the_scopes_of_the_key(people: dict[str, User], scheme: str) -> None:
    key, plain = key_create(user=people["otto"], name="ci", scopes=["chat"])
    principal = authenticate(f"{scheme} {plain}")
    assert principal is not None
    assert (principal.user_id, principal.username, principal.role) == (people["otto"].pk, "otto", "operator")
    assert (principal.scopes, principal.key_id) == (frozenset({"chat"}), key.pk)
    assert principal.may("chat")
    assert not principal.may("read")


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer nonsense", "Basic b3R0bzpwYXNz", "dpl_x"])
def test_what_is_no_key_is_refused_without_asking_the_database(
    db: None, header: str | None, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    with django_assert_num_queries(0):
        assert authenticate(header) is None


def test_an_unknown_key_is_refused_and_remembered(
    db: None, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    header = bearer(new_key().plain)
    assert authenticate(header) is None
    with django_assert_num_queries(0):
        assert authenticate(header) is None


def test_a_remembered_key_costs_no_query(
    people: dict[str, User], django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    _, plain = key_create(user=people["vera"], name="ci")
    first = authenticate(bearer(plain))
    with django_assert_num_queries(0):
        assert authenticate(bearer(plain)) == first


def test_a_flood_of_wrong_keys_does_not_push_out_the_right_ones(people: dict[str, User]) -> None:
    _, plain = key_create(user=people["vera"], name="ci")
    authenticate(bearer(plain))
    for number in range(10_000):
        authentication._refused.put(str(number), True)
    assert len(authentication._refused) == 4096
    assert len(authentication._accepted) == 1


def test_a_revoked_key_is_refused_at_once_here(people: dict[str, User]) -> None:
    key, plain = key_create(user=people["vera"], name="ci")
    assert authenticate(bearer(plain)) is not None
    key_revoke(key=key)
    assert authenticate(bearer(plain)) is None


def test_a_key_revoked_by_another_process_is_refused_within_seconds(
    people: dict[str, User], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(authentication._accepted, "_clock", lambda: now[0])
    key, plain = key_create(user=people["vera"], name="ci")
    assert authenticate(bearer(plain)) is not None
    ApiKey.objects.filter(pk=key.pk).update(revoked_at=utc_now())
    assert authenticate(bearer(plain)) is not None
    now[0] = 5.0
    assert authenticate(bearer(plain)) is None


def test_an_expired_key_is_refused_to_the_second(
    people: dict[str, User], monkeypatch: pytest.MonkeyPatch
) -> None:
    now, at = [0.0], utc_now()
    monkeypatch.setattr(authentication._accepted, "_clock", lambda: now[0])
    monkeypatch.setattr(authentication, "utc_now", lambda: at + timedelta(seconds=now[0]))
    _, plain = key_create(user=people["vera"], name="ci", expires_at=at + timedelta(seconds=60))
    for now[0], is_good in ((0.0, True), (59.0, True), (60.0, False)):
        assert (authenticate(bearer(plain)) is not None) is is_good


def test_the_key_of_an_inactive_person_is_refused(people: dict[str, User]) -> None:
    _, plain = key_create(user=people["vera"], name="ci")
    User.objects.filter(username="vera").update(is_active=False)
    assert authenticate(bearer(plain)) is None


def test_a_key_never_allows_more_than_the_role_allows_now(people: dict[str, User]) -> None:
    _, plain = key_create(user=people["otto"], name="ci")
    before = authenticate(bearer(plain))
    role_set(user=people["otto"], role="viewer")
    after = authenticate(bearer(plain))
    assert before is not None
    assert after is not None
    assert before.scopes == {"read", "chat", "datasets"}
    assert after.scopes == {"read"}


def test_a_superuser_is_an_admin_without_any_group(db: None) -> None:
    root = User.objects.create_superuser(username="root", password=PASSWORD)
    principal = principal_of_user(root)
    assert principal is not None
    assert (principal.role, principal.may("admin"), principal.key_id) == ("admin", True, None)


def test_a_person_without_a_role_is_known_but_may_nothing(db: None) -> None:
    principal = principal_of_user(User.objects.create_user(username="new", password=PASSWORD))
    assert principal is not None
    assert (principal.role, principal.scopes) == ("", frozenset())


def test_nobody_has_no_principal(people: dict[str, User]) -> None:
    people["vera"].is_active = False
    assert principal_of_user(AnonymousUser()) is None
    assert principal_of_user(people["vera"]) is None


def test_the_use_of_a_key_is_noted_and_written_once_a_minute(
    people: dict[str, User], django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    key, plain = key_create(user=people["vera"], name="ci")
    for _ in range(3):
        authenticate(bearer(plain))
    assert last_used.flush() == 1
    key.refresh_from_db()
    assert key.last_used_at is not None
    with django_assert_num_queries(0):
        authenticate(bearer(plain))
        assert last_used.flush() == 0


def test_another_process_that_wrote_just_now_saves_us_the_write(people: dict[str, User]) -> None:
    key, plain = key_create(user=people["vera"], name="ci")
    written = utc_now() - timedelta(seconds=10)
    ApiKey.objects.filter(pk=key.pk).update(last_used_at=written)
    authenticate(bearer(plain))
    assert last_used.flush() == 0
    key.refresh_from_db()
    assert key.last_used_at == written


@pytest.mark.django_db(transaction=True)
def test_a_thread_writes_the_use_while_the_answer_goes_out(people: dict[str, User]) -> None:
    key, plain = key_create(user=people["vera"], name="ci")
    last_used.is_paused = False
    authenticate(bearer(plain))
    deadline = time.monotonic() + 15
    while last_used._is_writing and time.monotonic() < deadline:
        time.sleep(0.01)
    key.refresh_from_db()
    assert key.last_used_at is not None


@pytest.mark.django_db(transaction=True)
def test_async_code_asks_the_same(people: dict[str, User]) -> None:
    _, plain = key_create(user=people["vera"], name="ci")

    async def ask() -> list[str | None]:
        answers = [
            await authenticate_async(h) for h in (bearer(plain), bearer(plain), bearer(new_key().plain), None)
        ]
        return [answer.username if answer else None for answer in answers]

    assert asyncio.run(ask()) == ["vera", "vera", None, None]


@pytest.mark.django_db(transaction=True)
def test_a_connection_is_let_in_by_key_else_by_session(people: dict[str, User], keys: dict[str, str]) -> None:
    client = Client()
    client.force_login(people["vera"])
    cookie = f"theme=dark; sessionid={client.cookies['sessionid'].value}".encode()
    key = bearer(keys["otto"]).encode()

    async def ask(*headers: tuple[bytes, bytes]) -> str | None:
        principal = await authenticate_scope({"type": "websocket", "headers": headers})
        return principal.username if principal else None

    async def all_of_them() -> list[str | None]:
        return [
            await ask((b"authorization", key)),
            await ask((b"cookie", cookie)),
            await ask((b"authorization", key), (b"cookie", cookie)),
            await ask((b"authorization", b"Basic eA=="), (b"cookie", cookie)),
            await ask((b"authorization", b"Bearer wrong"), (b"cookie", cookie)),
            await ask((b"cookie", b"sessionid=made-up")),
            await ask((b"cookie", b"\xff=;;")),
            await ask(),
        ]

    assert asyncio.run(all_of_them()) == ["otto", "vera", "otto", "vera", None, None, None, None]


@pytest.mark.django_db(transaction=True)
def test_a_session_ends_with_the_password_it_began_with(people: dict[str, User]) -> None:
    client = Client()
    client.force_login(people["vera"])
    cookie = f"sessionid={client.cookies['sessionid'].value}".encode()
    people["vera"].set_password("another horse battery")
    people["vera"].save()
    assert asyncio.run(authenticate_scope({"headers": [(b"cookie", cookie)]})) is None


async def test_what_is_remembered_and_ends_meanwhile_is_asked_for_in_a_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looks: list[str] = []

    class Ending(Recent[Principal]):
        """It remembers at the first look, and not at the second."""

        def get(self, key: str) -> Principal | None:
            looks.append(key)
            return Principal(1, "otto", "operator", frozenset({"chat"})) if len(looks) == 1 else None

    monkeypatch.setattr(authentication, "_accepted", Ending(ttl_s=5, capacity=8))
    principal = await authentication.authenticate_async(bearer(new_key().plain))
    assert principal is not None
    assert len(looks) == 1


@pytest.mark.django_db(transaction=True)
async def test_a_flood_of_wrong_keys_is_bounded_in_memory_and_threads(
    people: dict[str, User], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(authentication, "_refused", Recent(ttl_s=5.0, capacity=100))
    _, plain = await call(key_create, user=people["otto"], name="ci")
    assert await authenticate_async(bearer(plain)) is not None
    wrong = [authenticate_async(bearer(new_key().plain)) for _ in range(500)]
    assert set(await asyncio.gather(*wrong)) == {None}
    assert len(authentication._refused) == 100
    assert await authenticate_async(bearer(plain)) is not None
    lookers = [one for one in threading.enumerate() if one.name.startswith("keys")]
    assert len(lookers) <= authentication.LOOKERS


@pytest.mark.django_db(transaction=True)
async def test_requests_of_one_moment_wait_for_one_lookup_of_their_key(
    people: dict[str, User], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, plain = await call(key_create, user=people["otto"], name="ci")
    lookups: list[str] = []
    look_up = authentication._look_up

    def counted(digest: str) -> Principal | None:
        lookups.append(digest)
        return look_up(digest)

    monkeypatch.setattr(authentication, "_look_up", counted)
    asked = [asyncio.create_task(authenticate_async(bearer(plain))) for _ in range(50)]
    await asyncio.sleep(0)
    asked[0].cancel()
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert isinstance(answers[0], asyncio.CancelledError)
    assert {answer.username for answer in answers[1:] if isinstance(answer, Principal)} == {"otto"}
    assert len(answers[1:]) == 49
    assert len(lookups) == 1
