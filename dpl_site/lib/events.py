"""News for watchers in one process: one poller of the event table, fanned out to whoever subscribed.

Knows no model: it is given how to read events. An event is a hint; watchers read rows to know.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Generic, Protocol, TypeVar

from django.db import Error as DatabaseError
from django.db import connection

from dpl_site.lib.db import call

ANY = "*"
SQLITE_PERIOD_S = 0.1
POSTGRES_PERIOD_S = 0.25
OVERLAP = 200
"""How many ids back are read again on PostgreSQL: a sequence gives ids out before their rows are committed."""
LATE_LOOKS = 8
PAGE = 1000
AWAY_PAUSE_S = 1.0
QUEUE = 256

logger = logging.getLogger(__name__)


class HasSubject(Protocol):
    """What an event must tell: its id (rising), and what it is about."""

    @property
    def id(self) -> int: ...
    @property
    def topic(self) -> str: ...
    @property
    def object_id(self) -> str: ...


E = TypeVar("E", bound=HasSubject)


class FellBehind(Exception):
    """A subscriber did not read while its queue filled up: it must close, or read the rows anew."""


class FeedBroken(Exception):
    """A defect ended a feed; the log has it. Watchers should come again."""


class Subscription(Generic[E]):
    """One subscriber's events, oldest first, in a queue with a bound."""

    def __init__(self, size: int) -> None:
        self._events: deque[E] = deque()
        self._size = size
        self._fell_behind = False
        self._news = asyncio.Event()

    def put(self, event: E) -> None:
        """Hand an event in; never waits."""
        if len(self._events) >= self._size:
            self._fell_behind = True
        else:
            self._events.append(event)
        self._news.set()

    async def next(self) -> E:
        """The next event, waited for. Raises FellBehind once the queue has overflown."""
        while not self._events and not self._fell_behind:
            await self._news.wait()
        if self._fell_behind:
            raise FellBehind
        event = self._events.popleft()
        if not self._events:
            self._news.clear()
        return event

    async def news_within(self, seconds: float) -> None:
        """Wait for news, so long at most, and take all there is: the reader reads the rows anew anyhow."""
        with contextlib.suppress(TimeoutError, FellBehind):
            async with asyncio.timeout(seconds):
                await self.next()
        self.take_all()

    def take_all(self) -> list[E]:
        """The events that are here already; an overflown queue is forgiven, since its reader now knows."""
        events = list(self._events)
        self._events.clear()
        self._news.clear()
        self._fell_behind = False
        return events


class Broadcaster(Generic[E]):
    """One per process: polls while somebody watches, and gives each event to its subscribers once.

    Guarantee: what is committed after `subscribe` was entered reaches the subscriber, at least as
    FellBehind. Writes nothing. A database that is away delays events and ends nothing; kill -9 loses only
    the subscriptions, which end with their sockets anyhow.
    """

    def __init__(self, *, fetch: Callable[[int], Sequence[E]], last_id: Callable[[], int]) -> None:
        """`fetch(after_id)` gives up to PAGE events, oldest first; `last_id()` the newest id, 0 for none."""
        self._fetch, self._last_id = fetch, last_id
        self._subscriptions: dict[tuple[str, str], set[Subscription[E]]] = defaultdict(set)
        self._task: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ready = asyncio.Event()

    @property
    def is_polling(self) -> bool:
        """Whether the poller runs; it does while somebody watches."""
        return self._task is not None and not self._task.done()

    @asynccontextmanager
    async def subscribe(
        self, topic: str, object_id: str | int = ANY, *, size: int = QUEUE
    ) -> AsyncIterator[Subscription[E]]:
        """Events of one topic, about one object or any, while the block lasts. Starts the poller if need be."""
        subscription: Subscription[E] = Subscription(size)
        self._start_if_needed()
        watchers = self._subscriptions[(topic, str(object_id))]
        watchers.add(subscription)
        try:
            await self._ready.wait()
            yield subscription
        finally:
            self._leave((topic, str(object_id)), subscription)

    def _start_if_needed(self) -> None:
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            # Another loop's subscribers ended with it.
            self._subscriptions.clear()
            self._task, self._loop = None, loop
        if not self.is_polling:
            self._ready = asyncio.Event()
            self._task = loop.create_task(self._run(self._ready), name="events")

    def _leave(self, key: tuple[str, str], subscription: Subscription[E]) -> None:
        watchers = self._subscriptions.get(key, set())
        watchers.discard(subscription)
        if not watchers:
            self._subscriptions.pop(key, None)
        if not self._subscriptions and self._task is not None:
            self._task.cancel()
            self._task = None

    async def _run(self, ready: asyncio.Event) -> None:
        position: _Position[E] | None = None
        change = _DataVersion() if _is_sqlite_file() else _NewestId(self._last_id)
        try:
            while True:
                try:
                    if position is None:
                        position = await self._position()
                        ready.set()
                    if await change.is_possible():
                        await self._read(position)
                    await asyncio.sleep(change.period_s)
                except (DatabaseError, sqlite3.Error) as error:
                    logger.warning("no news while the database is away: %s", str(error).strip())
                    change.close()
                    await asyncio.sleep(AWAY_PAUSE_S)
        finally:
            change.close()

    async def _position(self) -> _Position[E]:
        """Where the table ends now; what is in the overlap already is old."""
        position: _Position[E] = _Position(await call(self._last_id), _overlap())
        position.fresh(await call(self._fetch, position.after))
        return position

    async def _read(self, position: _Position[E]) -> None:
        after = position.after
        while True:
            events = await call(self._fetch, after)
            for event in position.fresh(events):
                self._give(event)
            if len(events) < PAGE:
                return
            after = events[-1].id

    def _give(self, event: E) -> None:
        for key in ((event.topic, event.object_id), (event.topic, ANY)):
            for subscription in tuple(self._subscriptions.get(key, ())):
                subscription.put(event)


class _Position(Generic[E]):
    """How far the table has been read, and which ids near its end were seen."""

    def __init__(self, last: int, overlap: int) -> None:
        self._last, self._overlap = last, overlap
        self._seen: set[int] = set()

    @property
    def after(self) -> int:
        """Read from here on."""
        return max(self._last - self._overlap, 0)

    def fresh(self, events: Sequence[E]) -> list[E]:
        """Those that were not seen before."""
        new = [event for event in events if event.id not in self._seen]
        self._seen.update(event.id for event in new)
        self._last = max([self._last, *(event.id for event in new)])
        if len(self._seen) > 4 * OVERLAP + PAGE:
            self._seen = {known for known in self._seen if known > self.after}
        return new


class _DataVersion:
    """Whether anything was committed to a SQLite file since the last look; a look costs some microseconds."""

    period_s = SQLITE_PERIOD_S

    def __init__(self) -> None:
        self._raw: sqlite3.Connection | None = None
        self._version = -1

    async def is_possible(self) -> bool:
        """True when the event table may hold news."""
        if self._raw is None:
            self._raw = sqlite3.connect(_database_name(), isolation_level=None, timeout=0.05)
        version = int(self._raw.execute("PRAGMA data_version").fetchone()[0])
        changed, self._version = version != self._version, version
        return changed

    def close(self) -> None:
        """Let go of the connection."""
        if self._raw is not None:
            self._raw.close()
        self._raw, self._version = None, -1


class _NewestId:
    """Whether the newest id has changed, or did lately: rows with lower ids may be committed after it."""

    period_s = POSTGRES_PERIOD_S

    def __init__(self, last_id: Callable[[], int]) -> None:
        self._last_id = last_id
        self._newest = -1
        self._looks_left = 0

    async def is_possible(self) -> bool:
        """True when the event table may hold news."""
        newest = await call(self._last_id)
        if newest != self._newest:
            self._newest, self._looks_left = newest, LATE_LOOKS
        self._looks_left -= 1
        return self._looks_left >= 0

    def close(self) -> None:
        """Ask anew at the next look."""
        self._newest = -1


def _database_name() -> str:
    return str(connection.settings_dict["NAME"])


def _is_sqlite_file() -> bool:
    return connection.vendor == "sqlite" and "mode=memory" not in _database_name()


def _overlap() -> int:
    return 0 if connection.vendor == "sqlite" else OVERLAP


_shared: Broadcaster[Any] | None = None


def shared(*, fetch: Callable[[int], Sequence[E]], last_id: Callable[[], int]) -> Broadcaster[E]:
    """The process's own broadcaster, made at the first call; all callers hand in the same two readers."""
    global _shared
    if _shared is None:
        _shared = Broadcaster(fetch=fetch, last_id=last_id)
    return _shared
