"""What stands of alerts, for all who watch in this process: read once whenever something happens to one. Async.

One feed per event loop; it lives while somebody watches, and asks the database nothing while nothing happens.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing

import orjson
from django.db import Error as DatabaseError

from alerts.selectors import summary
from alerts.services import TOPIC
from dpl_site.lib import events
from dpl_site.lib.db import call
from nodes import news

PERIOD_S = 0.5
"""Every page watches: a fleet that falls apart tells them twice a second at most."""
REFRESH_S = 60.0
AWAY_PAUSE_S = 1.0

logger = logging.getLogger(__name__)


def read_summary() -> bytes:
    """The message that watchers get, as JSON."""
    return orjson.dumps({"type": "alerts"} | summary())


class Feed:
    """The latest summary, read again when there is news.

    Guarantee: each watcher gets the latest message, and never an older one after it; one that is slow skips
    some. Writes nothing; ends with its last watcher.
    """

    def __init__(self) -> None:
        self.watchers = 0
        self.is_broken = False
        self._message = b""
        self._number = 0
        self._changed = asyncio.Condition()
        self._task = asyncio.get_running_loop().create_task(self._run(), name="alerts")

    def close(self) -> None:
        """Nobody watches any more."""
        self._task.cancel()

    async def messages(self) -> AsyncGenerator[bytes, None]:
        """The summary as it is now, then each change. Raises FeedBroken."""
        seen = 0
        while True:
            async with self._changed:
                while self._number <= seen and not self.is_broken:
                    await self._changed.wait()
                if self.is_broken:
                    raise events.FeedBroken
                seen, message = self._number, self._message
            yield message

    async def _run(self) -> None:
        try:
            await self._follow()
        except Exception:
            logger.exception("the feed of alerts broke")
            self.is_broken = True
            async with self._changed:
                self._changed.notify_all()

    async def _follow(self) -> None:
        broadcaster = events.shared(fetch=news.since, last_id=news.last_id)
        async with broadcaster.subscribe(TOPIC) as subscription:
            while True:
                await self._renew()
                await asyncio.sleep(PERIOD_S)
                await subscription.news_within(REFRESH_S)

    async def _renew(self) -> None:
        try:
            message = await call(read_summary)
        except DatabaseError as error:
            logger.warning("no state of alerts while the database is away: %s", error)
            await asyncio.sleep(AWAY_PAUSE_S)
            return
        async with self._changed:
            if message != self._message:
                self._message = message
                self._number += 1
                self._changed.notify_all()


_feeds: dict[int, Feed] = {}


async def watch() -> AsyncGenerator[bytes, None]:
    """The messages; all watchers of this process share one reading."""
    loop = id(asyncio.get_running_loop())
    feed = _feeds.get(loop)
    if feed is None or feed.is_broken:
        feed = _feeds[loop] = Feed()
    feed.watchers += 1
    try:
        async with aclosing(feed.messages()) as messages:
            async for message in messages:
                yield message
    finally:
        feed.watchers -= 1
        if not feed.watchers:
            feed.close()
            if _feeds.get(loop) is feed:
                del _feeds[loop]
