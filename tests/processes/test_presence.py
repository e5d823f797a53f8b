"""A long-lived process's row: made when it can be, made anew when it was lost."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from django.db import OperationalError

from dpl_site.lib.db import call
from dpl_site.processes import presence as module
from dpl_site.processes.presence import Presence, WebPresence
from nodes.instances import Heartbeat, alive, beat
from nodes.models import ProcessInstance

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def presence() -> Iterator[Presence]:
    made = Presence("web", group_pid=7)
    yield made
    made.stop()


def test_it_is_registered_once(presence: Presence) -> None:
    assert presence.instance_id is None
    heartbeat = presence.keep()
    assert heartbeat is not None
    assert presence.keep() is heartbeat
    assert presence.instance_id == alive().get(kind="web", group_pid=7).id


def test_a_lost_row_is_never_revived_but_made_anew(presence: Presence) -> None:
    first = presence.keep()
    assert first is not None
    ProcessInstance.objects.update(expires_ms=0)
    assert not beat(instance_id=first.id)
    first._refused = True  # as its thread finds at the next beat
    second = presence.keep()
    assert second is not None
    assert second.id != first.id
    assert [row.id for row in alive()] == [second.id]


def test_a_database_that_is_away_is_no_error_and_is_tried_again(
    presence: Presence, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone() -> int:
        raise OperationalError("the server is gone")

    with monkeypatch.context() as patch:
        patch.setattr(module, "now_ms", gone)
        assert presence.keep() is None
    assert isinstance(presence.keep(), Heartbeat)


def test_nothing_is_registered_once_the_parent_is_gone(
    presence: Presence, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "parent_is_lost", lambda: True)
    assert presence.keep() is None
    assert not alive().exists()


def test_its_end_frees_what_it_owns_at_once(presence: Presence) -> None:
    presence.keep()
    presence.stop()
    presence.stop()
    assert not alive().exists()
    assert presence.instance_id is None


async def test_a_web_process_is_present_without_any_request_waiting_for_it() -> None:
    web = WebPresence()
    web.begin()
    web.begin()
    for _ in range(500):
        if web.instance_id is None:
            await asyncio.sleep(0.01)
    assert await call(alive().filter(kind="web").count) == 1
    await web.end()
    assert not await call(alive().exists)
