"""Fixtures that every folder shares; suites that kill or drive real things are slow by their marker."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.conf import settings as django_settings
from django.contrib.auth.models import Group
from django.db import connection
from django.db.models.signals import post_migrate
from django.test import Client
from pytest_django import DjangoDbBlocker

from accounts import authentication
from accounts.last_used import last_used
from accounts.models import User
from accounts.roles import ADMIN
from accounts.services import key_create, roles_ensure
from tests import migrated
from tests.cast import PASSWORD, PEOPLE

_IMPLY_SLOW = ("chaos", "e2e", "postgres")


def pytest_configure() -> None:
    """Leave out what costs time in each test and tells nothing.

    WhiteNoise reads all static files for each test client, and a good hash of a password takes half a second.
    Flushing makes all permissions anew, which nothing here asks for: roles are groups, and admins are
    superusers.
    """
    django_settings.WHITENOISE_USE_FINDERS = False
    django_settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    post_migrate.disconnect(dispatch_uid="django.contrib.auth.management.create_permissions")


def pytest_collection() -> None:
    """Thousands of tests are made now, and none of them is garbage."""
    gc.disable()


def pytest_collection_finish() -> None:
    """What was loaded stays to the end: the collector need not walk over it again and again."""
    gc.enable()
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """`chaos`, `e2e` and `postgres` imply `slow`."""
    for item in items:
        if any(item.get_closest_marker(name) for name in _IMPLY_SLOW):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def django_db_keepdb() -> bool:
    """A copy of a migrated SQLite file is taken as it is; on PostgreSQL each run migrates a new database."""
    return connection.vendor == "sqlite"


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings_parallel_suffix: None) -> None:
    """Each test process begins with a copy, since migrating takes it seconds."""
    if connection.vendor == "sqlite":
        migrated.copy_to(Path(connection.settings_dict["TEST"]["NAME"]))


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """PostgreSQL drops no database that is in use, and pools of threads keep their connections open."""
    yield
    with django_db_blocker.unblock():
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )


@pytest.fixture(autouse=True)
def _nothing_remembered() -> Iterator[None]:
    """No test meets what another one taught the process about keys, and no thread writes behind its back."""
    last_used.is_paused = True
    yield
    authentication.forget_all()
    last_used.clear()


@pytest.fixture
def people(db: None) -> dict[str, User]:
    """The cast's people by name, each with his role and the cast's password.

    As `user_create` would make them, in a few statements: a third of the tests ask for them.
    """
    roles_ensure()
    groups = dict(Group.objects.values_list("name", "id"))
    found = {}
    for name, role in PEOPLE.items():
        is_admin = role == ADMIN
        found[name] = User(username=name, is_staff=is_admin, is_superuser=is_admin)
        found[name].set_password(PASSWORD)
    User.objects.bulk_create(found.values())
    holds = User.groups.through
    holds._base_manager.bulk_create(
        holds(user_id=found[name].pk, group_id=groups[PEOPLE[name]]) for name in found
    )
    return found


@pytest.fixture
def keys(people: dict[str, User]) -> dict[str, str]:
    """A key of each person by his name, in plain, with all the scopes of his role."""
    return {name: key_create(user=user, name="test")[1] for name, user in people.items()}


@pytest.fixture
def api(keys: dict[str, str]) -> Callable[[str], Client]:
    """`api("ada")`: a client that shows that person's key; `api("")` shows none."""

    def client(name: str) -> Client:
        return Client(headers={"Authorization": f"Bearer {keys[name]}"} if name else None)

    return client
