"""News reaches each watcher once, soon after its commit, and nothing is polled while nobody watches."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

import pytest
from django.db import OperationalError, connection

from dpl_site.lib import events
from dpl_site.lib.db import call
from dpl_site.lib.events import Broadcaster, FellBehind, Subscription
from nodes import news

pytestmark = pytest.mark.django_db(transaction=True)


@dataclass(frozen=True)
class Note:
    """An event as small as can be."""

    id: int
    topic: str = "job"
    object_id: str = "a"


class Table:
    """An event table in memory that counts how often it was read."""

    def __init__(self) -> None:
        self.notes: list[Note] = []
        self.reads = 0

    def fetch(self, after_id: int) -> Sequence[Note]:
        self.reads += 1
        return sorted((note for note in self.notes if note.id > after_id), key=lambda note: note.id)

    def last_id(self) -> int:
        return max((note.id for note in self.notes), default=0)


@pytest.fixture
def real() -> Broadcaster[news.News]:
    """A broadcaster over the real event table."""
    return Broadcaster(fetch=news.since, last_id=news.last_id)


@pytest.fixture
def by_asking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Poll as on PostgreSQL, whatever runs here."""
    monkeypatch.setattr(events, "_is_sqlite_file", lambda: False)
    monkeypatch.setattr(events, "_overlap", lambda: events.OVERLAP)
    monkeypatch.setattr(events._NewestId, "period_s", 0.02)


async def soon(subscription: Subscription[Note] | Subscription[news.News]) -> str:
    """The next event's object."""
    async with asyncio.timeout(10):
        return (await subscription.next()).object_id


async def test_it_tells_those_who_watch_the_object_or_any_and_nobody_else(
    real: Broadcaster[news.News],
) -> None:
    async with AsyncExitStack() as stack:
        one = await stack.enter_async_context(real.subscribe("job", "a"))
        every = await stack.enter_async_context(real.subscribe("job"))
        other = await stack.enter_async_context(real.subscribe("cluster"))
        for topic, object_id in (("job", "b"), ("job", "a"), ("cluster", "7")):
            await call(news.publish, topic=topic, object_id=object_id)

        assert await soon(other) == "7"
        assert [await soon(every), await soon(every)] == ["b", "a"]
        assert await soon(one) == "a"
        assert one.take_all() == every.take_all() == other.take_all() == []


async def test_it_tells_soon_after_the_commit(real: Broadcaster[news.News]) -> None:
    async with real.subscribe("job", "a") as watching:
        await call(news.publish, topic="job", object_id="a")
        assert await soon(watching) == "a"


async def test_it_does_not_tell_what_was_published_before_somebody_watched(
    real: Broadcaster[news.News],
) -> None:
    await call(news.publish, topic="job", object_id="old")
    async with real.subscribe("job") as watching:
        await call(news.publish, topic="job", object_id="new")

        assert await soon(watching) == "new"


async def test_it_polls_only_while_somebody_watches(by_asking: None) -> None:
    table = Table()
    broadcaster = Broadcaster(fetch=table.fetch, last_id=table.last_id)
    polling = [broadcaster.is_polling]
    async with broadcaster.subscribe("job"):
        async with broadcaster.subscribe("job", "a"):
            polling.append(broadcaster.is_polling)
        polling.append(broadcaster.is_polling)
    await asyncio.sleep(0.05)
    reads = table.reads
    await asyncio.sleep(0.1)

    assert [*polling, broadcaster.is_polling] == [False, True, True, False]
    assert table.reads == reads


async def test_it_starts_again_for_the_next_watcher(by_asking: None) -> None:
    table = Table()
    broadcaster = Broadcaster(fetch=table.fetch, last_id=table.last_id)
    for number in (1, 2):
        async with broadcaster.subscribe("job") as watching:
            table.notes.append(Note(number, object_id=str(number)))
            assert await soon(watching) == str(number)


async def test_it_gives_what_was_committed_late_under_a_lower_id_and_nothing_twice(by_asking: None) -> None:
    table = Table()
    table.notes = [Note(1, object_id="old")]
    broadcaster = Broadcaster(fetch=table.fetch, last_id=table.last_id)
    async with broadcaster.subscribe("job") as watching:
        table.notes.append(Note(5, object_id="five"))
        assert await soon(watching) == "five"
        table.notes.append(Note(3, object_id="three"))

        assert await soon(watching) == "three"
        await asyncio.sleep(0.1)
        assert watching.take_all() == []


async def test_it_reads_on_when_there_is_more_than_one_page(
    by_asking: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "PAGE", 3)
    table = Table()
    broadcaster = Broadcaster(fetch=lambda after: table.fetch(after)[:3], last_id=table.last_id)
    async with broadcaster.subscribe("job") as watching:
        table.notes = [Note(number, object_id=str(number)) for number in range(1, 11)]

        assert [await soon(watching) for _ in range(10)] == [str(number) for number in range(1, 11)]


async def test_it_tells_a_watcher_that_it_fell_behind(by_asking: None) -> None:
    table = Table()
    broadcaster = Broadcaster(fetch=table.fetch, last_id=table.last_id)
    async with broadcaster.subscribe("job", size=2) as slow, broadcaster.subscribe("job", size=9) as fast:
        table.notes = [Note(number) for number in range(1, 4)]
        for _ in range(3):
            await soon(fast)

        with pytest.raises(FellBehind):
            await soon(slow)
        assert len(slow.take_all()) == 2
        table.notes.append(Note(4, object_id="after"))
        assert await soon(slow) == "after"


async def test_it_goes_on_when_the_database_was_away(
    by_asking: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "AWAY_PAUSE_S", 0.01)
    table = Table()
    is_away = True

    def fetch(after_id: int) -> Sequence[Note]:
        if is_away:
            raise OperationalError("gone")
        return table.fetch(after_id)

    async def come_back() -> None:
        nonlocal is_away
        await asyncio.sleep(0.05)
        is_away = False

    broadcaster = Broadcaster(fetch=fetch, last_id=table.last_id)
    async with asyncio.TaskGroup() as group:
        group.create_task(come_back())
        async with asyncio.timeout(10), broadcaster.subscribe("job") as watching:
            table.notes.append(Note(1, object_id="back"))
            assert await soon(watching) == "back"
            is_away = True
            table.notes.append(Note(2, object_id="again"))
            group.create_task(come_back())
            assert await soon(watching) == "again"


def test_it_serves_a_new_event_loop_as_it_did_the_old_one(real: Broadcaster[news.News]) -> None:
    async def watch(word: str) -> str:
        async with real.subscribe("job") as watching:
            await call(news.publish, topic="job", object_id=word)
            return await soon(watching)

    assert [asyncio.run(watch(word)) for word in ("first", "second")] == ["first", "second"]


@pytest.mark.skipif(
    connection.vendor != "sqlite", reason="only SQLite is asked through a connection of its own"
)
async def test_it_closes_the_connection_that_it_asks_sqlite_with(real: Broadcaster[news.News]) -> None:
    async with real.subscribe("job"):
        await asyncio.sleep(0.15)
    await asyncio.sleep(0.01)

    gc.collect()  # a connection left open would raise a ResourceWarning here


async def test_it_is_one_for_the_whole_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "_shared", None)
    one = events.shared(fetch=news.since, last_id=news.last_id)

    assert events.shared(fetch=news.since, last_id=news.last_id) is one
