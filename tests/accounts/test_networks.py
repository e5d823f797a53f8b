"""Networks that stand for a key: for programs that cannot send one, and for nobody else."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.test import Client
from pytest_django import Settings

from accounts import networks
from accounts.models import User
from accounts.networks import key_name_for, principal_of_network
from accounts.services import key_create, key_revoke

LAN = [("192.168.0.0/16", "lan"), ("192.168.7.0/24", "lab"), ("2001:db8::/32", "six")]


@pytest.fixture(autouse=True)
def fresh(settings: Settings) -> Iterator[None]:
    settings.DPL_CIDR_KEYS = LAN
    networks.forget_networks()
    yield
    networks.forget_networks()


def name_for(address: str, authorization: str | None = None, origin: str | None = None) -> str | None:
    return key_name_for(address=address, authorization=authorization, origin=origin)


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("192.168.1.5", "lan"),
        ("192.168.7.5", "lab"),
        ("2001:db8::5", "six"),
        ("10.0.0.1", None),
        ("", None),
        ("testclient", None),
    ],
)
def test_the_narrowest_network_counts(address: str, name: str | None) -> None:
    assert name_for(address) == name


def test_who_shows_a_key_of_dpls_is_judged_by_it() -> None:
    assert name_for("192.168.1.5", "Bearer dpl_wrong") is None
    assert name_for("192.168.1.5", "Bearer ollama") == "lan", "clients that must send something send anything"


def test_no_web_page_borrows_the_address_of_its_reader(settings: Settings) -> None:
    assert name_for("192.168.1.5", origin="https://evil.example") is None
    settings.DPL_CORS_ORIGINS = ["https://tools.example"]
    assert name_for("192.168.1.5", origin="https://tools.example") == "lan"


def test_without_the_setting_addresses_say_nothing(settings: Settings) -> None:
    settings.DPL_CIDR_KEYS = []
    assert name_for("192.168.1.5") is None


@pytest.mark.django_db
class TestItsKey:
    """The key that stands behind a network."""

    def test_it_may_read_and_chat_whatever_else_the_key_may(self, people: dict[str, User]) -> None:
        key_create(user=people["ada"], name="lan")
        principal = principal_of_network("lan")
        assert principal
        assert (principal.username, principal.scopes) == ("ada", frozenset({"read", "chat"}))

    def test_there_must_be_exactly_one_that_lives(
        self, people: dict[str, User], caplog: pytest.LogCaptureFixture
    ) -> None:
        assert principal_of_network("lan") is None
        assert "0 living keys called lan" in caplog.text
        networks.forget_networks()
        first, _ = key_create(user=people["ada"], name="lan")
        second, _ = key_create(user=people["otto"], name="lan")
        assert principal_of_network("lan") is None
        key_revoke(key=first)
        networks.forget_networks()
        found = principal_of_network("lan")
        assert found
        assert found.key_id == second.pk

    def test_only_the_paths_of_openai_and_ollama_take_it(
        self, people: dict[str, User], settings: Settings
    ) -> None:
        settings.DPL_CIDR_KEYS = [("127.0.0.0/8", "lan")]
        key_create(user=people["otto"], name="lan")
        client = Client()
        assert client.get("/api/tags").status_code == 200
        assert client.get("/v1/models", headers={"Authorization": "Bearer ollama"}).status_code == 200
        assert client.get("/v1/models", headers={"Authorization": "Bearer dpl_wrong"}).status_code == 401
        assert client.get("/api/models").status_code == 401
        assert client.get("/api/v1/nodes/").status_code == 401
