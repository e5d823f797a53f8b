"""Which websockets there are, and from which pages they may be opened."""

from __future__ import annotations

import logging

import pytest
from channels.testing import WebsocketCommunicator
from pytest_django import Settings

from dpl_site.routing import NOT_FOUND, is_own_origin, sockets


@pytest.mark.parametrize(
    ("origin", "host", "is_own"),
    [
        (None, "dpl.lan:8000", True),
        ("http://dpl.lan:8000", "dpl.lan:8000", True),
        ("https://dpl.lan", "dpl.lan", True),
        ("https://dpl.lan:443", "dpl.lan", True),
        ("http://DPL.lan:8000", "dpl.LAN:8000", True),
        ("http://[::1]:8000", "[::1]:8000", True),
        ("http://dpl.lan:8001", "dpl.lan:8000", False),
        ("http://evil.example", "dpl.lan:8000", False),
        ("http://dpl.lan.evil.example:8000", "dpl.lan:8000", False),
        ("null", "dpl.lan:8000", False),
        ("file://", "dpl.lan:8000", False),
        ("", "", False),
        ("http://dpl.lan:port", "dpl.lan:8000", False),
        ("http://dpl.lan:8000", None, False),
    ],
)
def test_only_our_own_pages_and_programs_may_open_a_socket(
    origin: str | None, host: str | None, is_own: bool
) -> None:
    assert is_own_origin(origin, host) is is_own


def test_the_origin_must_be_among_the_allowed_hosts_where_these_are_listed(settings: Settings) -> None:
    settings.ALLOWED_HOSTS = ["dpl.lan"]
    assert is_own_origin("http://dpl.lan:8000", "dpl.lan:8000")
    assert not is_own_origin("http://rebound.example:8000", "rebound.example:8000")


def test_listed_origins_may_open_sockets_too(settings: Settings) -> None:
    settings.DPL_CORS_ORIGINS = ["https://tool.example"]
    assert is_own_origin("https://tool.example", "dpl.lan")
    assert not is_own_origin("https://other.example", "dpl.lan")


@pytest.mark.django_db
async def test_a_path_that_there_is_not_is_closed_with_4404_and_without_a_trace(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO):
        client = WebsocketCommunicator(sockets(), "/ws/nowhere/")
        assert await client.connect() == (True, None)
        assert await client.receive_output() == {"type": "websocket.close", "code": NOT_FOUND}
    assert not caplog.records


@pytest.mark.django_db
async def test_a_foreign_page_gets_no_socket() -> None:
    headers = [(b"origin", b"http://evil.example"), (b"host", b"dpl.lan")]
    client = WebsocketCommunicator(sockets(), "/ws/nowhere/", headers=headers)
    is_connected, code = await client.connect()
    assert (is_connected, code) == (False, 4403)
