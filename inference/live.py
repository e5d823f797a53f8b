"""The fleet as it changes, for all who watch it in this process: read and serialised once for everybody.

Async. One feed per event loop; it lives while somebody watches.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import aclosing

import orjson
from django.conf import settings
from django.db import Error as DatabaseError

from dpl_site.lib import events
from dpl_site.lib.clock import iso, utc_now
from dpl_site.lib.db import call
from inference.fleet import node_views
from nodes import news
from nodes.watching import THE_FLEET, watch_note

PERIOD_S = 0.25
COST_FACTOR = 20
"""The fleet is read no more often than this many times the processor time of it, so that watching stays cheap."""
NOTE_EVERY_S = 5.0
"""How often the controller is told that somebody watches; a note outlasts three of these."""
REFRESH_S = 5.0
"""It is read again after so long without news: slots are taken and freed without any."""
AWAY_PAUSE_S = 1.0

logger = logging.getLogger(__name__)


class Fleet:
    """The nodes as they were last read, each with the version of the fleet at which it changed last."""

    def __init__(self) -> None:
        self.version = 0
        self._at = iso(utc_now())
        self._nodes: dict[int, tuple[int, bytes]] = {}
        self._gone: dict[int, int] = {}
        self._messages: dict[tuple[int, int | None], bytes | None] = {}

    def take(self, read: dict[int, bytes]) -> bool:
        """Take what was read now; whether anything differs from before."""
        fresh = {
            node_id: text for node_id, text in read.items() if self._nodes.get(node_id, (0, b""))[1] != text
        }
        gone = self._nodes.keys() - read.keys()
        if self.version and not fresh and not gone:
            return False
        self.version += 1
        self._at = iso(utc_now())
        self._messages = {}
        for node_id in gone:
            del self._nodes[node_id]
            self._gone[node_id] = self.version
        self._nodes |= {node_id: (self.version, text) for node_id, text in fresh.items()}
        return True

    def has(self, node_id: int) -> bool:
        """Whether there is such a node."""
        return node_id in self._nodes

    def message(self, since: int, node_id: int | None = None) -> bytes | None:
        """What changed after a version (0: everything, a snapshot), of one node or of all; None: nothing.

        Made once for all who ask for the same.
        """
        key = (since, node_id)
        if key not in self._messages:
            self._messages[key] = self._made(since, node_id)
        return self._messages[key]

    def _made(self, since: int, node_id: int | None) -> bytes | None:
        changed = [
            text
            for one, (version, text) in sorted(self._nodes.items())
            if version > since and node_id in (None, one)
        ]
        gone = [one for one, version in self._gone.items() if version > since and node_id in (None, one)]
        if since and not changed and not gone:
            return None
        kind = "update" if since else "snapshot"
        head = orjson.dumps({"type": kind, "generated_at": self._at} | ({"removed": gone} if since else {}))
        return head[:-1] + b',"nodes":[' + b",".join(changed) + b"]}"


class Feed:
    """The fleet, read again whenever there is news of it.

    Guarantee: a watcher gets a snapshot, then all that changed, in order; one that is slow gets several
    changes in one message, so nothing piles up. While it lasts it notes what is watched, so that
    the controller looks there more often; it writes nothing else. Ends with its last watcher; after a kill -9
    its notes end by themselves.
    """

    def __init__(self) -> None:
        self.fleet = Fleet()
        self.watchers: Counter[int] = Counter()
        """By node, or under THE_FLEET."""
        self.is_broken = False
        self._changed = asyncio.Condition()
        self._joined = asyncio.Event()
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._run(), name="fleet feed")]
        if 0 < settings.DPL_WATCHED_INTERVAL_S < settings.DPL_POLL_INTERVAL_S:
            self._tasks.append(loop.create_task(self._note(), name="fleet feed notes"))

    def close(self) -> None:
        """Nobody watches any more."""
        for task in self._tasks:
            task.cancel()

    def join(self, subject: int) -> None:
        """One more watches a node, or THE_FLEET."""
        self.watchers[subject] += 1
        self._joined.set()

    def leave(self, subject: int) -> None:
        """One less."""
        self.watchers[subject] -= 1
        self.watchers += Counter()  # drops those that nobody watches

    async def messages(self, node_id: int | None) -> AsyncGenerator[bytes, None]:
        """Of all nodes, or of one, until that one is gone. Raises FeedBroken."""
        seen = 0
        while True:
            async with self._changed:
                while self.fleet.version <= seen and not self.is_broken:
                    await self._changed.wait()
                if self.is_broken:
                    raise events.FeedBroken
                message = self.fleet.message(seen, node_id)
                is_over = node_id is not None and not self.fleet.has(node_id)
                is_first, seen = not seen, self.fleet.version
            if message is not None and not (is_first and is_over):
                yield message
            if is_over:
                return

    async def _run(self) -> None:
        try:
            await self._follow()
        except Exception:
            logger.exception("the feed of the fleet broke")
            self.is_broken = True
            async with self._changed:
                self._changed.notify_all()

    async def _follow(self) -> None:
        broadcaster = events.shared(fetch=news.since, last_id=news.last_id)
        async with broadcaster.subscribe(news.CLUSTER) as subscription:
            while True:
                cost_s = await self._renew()
                await asyncio.sleep(max(PERIOD_S, COST_FACTOR * cost_s))
                await subscription.news_within(REFRESH_S)

    async def _renew(self) -> float:
        """Read the fleet; the processor time that it took, in seconds."""
        try:
            read, cost_s = await call(_read_with_cost)
        except DatabaseError as error:
            logger.warning("no state of the fleet while the database is away: %s", error)
            await asyncio.sleep(AWAY_PAUSE_S)
            return 0.0
        async with self._changed:
            if self.fleet.take(read):
                self._changed.notify_all()
        return cost_s

    async def _note(self) -> None:
        while True:
            self._joined.clear()
            try:
                await call(watch_note, subjects=set(self.watchers))
            except DatabaseError as error:
                logger.warning("the controller does not learn what is watched: %s", error)
            # Whoever opens one page after another causes no more than a note a second.
            await asyncio.sleep(AWAY_PAUSE_S)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(NOTE_EVERY_S):
                    await self._joined.wait()


def _read_with_cost() -> tuple[dict[int, bytes], float]:
    began = time.thread_time()
    return read_nodes(), time.thread_time() - began


def read_nodes() -> dict[int, bytes]:
    """Each node as JSON, by id."""
    return {view["id"]: orjson.dumps(view) for view in node_views()}


_feeds: dict[int, Feed] = {}


async def watch(node_id: int | None = None) -> AsyncGenerator[bytes, None]:
    """The messages of the fleet, or of one node; all watchers of this process share one reading."""
    loop = id(asyncio.get_running_loop())
    feed = _feeds.get(loop)
    if feed is None or feed.is_broken:
        feed = _feeds[loop] = Feed()
    subject = THE_FLEET if node_id is None else node_id
    feed.join(subject)
    try:
        async with aclosing(feed.messages(node_id)) as messages:
            async for message in messages:
                yield message
    finally:
        feed.leave(subject)
        if not feed.watchers:
            feed.close()
            if _feeds.get(loop) is feed:
                del _feeds[loop]
