"""A job's status as it changes, for all who watch it in this process: read and serialised once for everybody.

Async. One feed per watched job; it lives while somebody watches.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing

import orjson
from django.db import Error as DatabaseError

from datasets.models import Job
from datasets.selectors import detailed_status
from dpl_site.lib import events
from dpl_site.lib.db import call
from nodes import news

PERIOD_S = 0.5
COST_FACTOR = 10
"""Between two readings passes this many times what one takes, MOST_PAUSE_S at most: watching stays cheap."""
MOST_PAUSE_S = 5.0
AWAY_PAUSE_S = 1.0
REFRESH_S = 5.0
"""A running job is read again after so long without news, since times and rates go on."""

logger = logging.getLogger(__name__)


def read_status(job_id: str) -> bytes | None:
    """The message that watchers get, as JSON; None when there is no such job (any more)."""
    job = Job.objects.select_related("owner").filter(id=job_id).first()
    return orjson.dumps({"type": "job"} | detailed_status(job)) if job else None


class Feed:
    """One job's latest message, renewed at most every PERIOD_S while news of it come in.

    Guarantee: each watcher gets the latest message, and never an older one after it; one that is slow
    skips some. Writes nothing; ends with its last watcher, or with the job.
    """

    def __init__(self, job_id: str) -> None:
        self.job_id = job_id
        self.watchers = 0
        self.is_over = self.is_broken = False
        self._message = b""
        self._number = 0
        self._changed = asyncio.Condition()
        self._task = asyncio.get_running_loop().create_task(self._run(), name=f"job {job_id}")

    def close(self) -> None:
        """Nobody watches any more."""
        self._task.cancel()

    async def messages(self) -> AsyncGenerator[bytes, None]:
        """The message as it is now, then each change; ends when the job is gone. Raises FeedBroken."""
        seen = 0
        while True:
            async with self._changed:
                while self._number <= seen and not self.is_over:
                    await self._changed.wait()
                if self.is_broken:
                    raise events.FeedBroken(self.job_id)
                if self.is_over:
                    return
                seen, message = self._number, self._message
            yield message

    async def _run(self) -> None:
        try:
            await self._follow()
        except Exception:
            logger.exception("the feed of job %s broke", self.job_id)
            self.is_broken = True
        finally:
            async with self._changed:
                self.is_over = True
                self._changed.notify_all()

    async def _follow(self) -> None:
        broadcaster = events.shared(fetch=news.since, last_id=news.last_id)
        async with broadcaster.subscribe(news.JOB, self.job_id) as subscription:
            while not self.is_over:
                began = time.monotonic()
                await self._renew()
                took = time.monotonic() - began
                await asyncio.sleep(min(max(PERIOD_S, COST_FACTOR * took), MOST_PAUSE_S))
                await subscription.news_within(REFRESH_S)

    async def _renew(self) -> None:
        try:
            message = await call(read_status, self.job_id)
        except DatabaseError as error:
            logger.warning("no status of job %s while the database is away: %s", self.job_id, error)
            await asyncio.sleep(AWAY_PAUSE_S)
            return
        async with self._changed:
            self.is_over = message is None
            if message is not None and message != self._message:
                self._message = message
                self._number += 1
            self._changed.notify_all()


_feeds: dict[tuple[int, str], Feed] = {}


async def watch(job_id: str) -> AsyncGenerator[bytes, None]:
    """A job's messages; all who watch the same job in this process share one reading of it."""
    key = (id(asyncio.get_running_loop()), job_id)
    feed = _feeds.get(key)
    if feed is None:
        feed = _feeds[key] = Feed(job_id)
    feed.watchers += 1
    try:
        async with aclosing(feed.messages()) as messages:
            async for message in messages:
                yield message
    finally:
        feed.watchers -= 1
        if not feed.watchers:
            feed.close()
            if _feeds.get(key) is feed:
                del _feeds[key]
