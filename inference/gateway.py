"""The gateway of one web process: its proxy with all that this needs, made when the first request comes.

Async.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable

import aiohttp
from django.conf import settings

from dpl_site.lib import http
from dpl_site.lib.db import Threads
from dpl_site.lib.refusals import Refused
from inference import speeds
from inference.exchange import Limits
from inference.loading import Loader
from inference.pool import SlotPool
from inference.proxy import Proxy
from inference.roster import RosterReader
from inference.sightings import Sightings

SPEEDS_EVERY_S = 2.0

_installed: Gateway | None = None


def install(made: Gateway | None) -> None:
    """Make this the gateway of the process, for sockets and views."""
    global _installed
    _installed = made


def installed() -> Gateway:
    """The gateway of the process. Raises Refused where there is none, as under WSGI."""
    if _installed is None:
        raise Refused("The gateway runs in `manage.py web` only.", code="not_ready", status=503)
    return _installed


class Gateway:
    """Owns the parts and their end.

    Guarantee: `end` gives back every slot and closes every connection. It writes measured speeds; what was
    measured since the last writing is lost on kill -9.
    """

    def __init__(self, instance_id: Callable[[], uuid.UUID | None]) -> None:
        """`instance_id` tells which registered process this is, None while it is none."""
        self._instance_id = instance_id
        self._loop: asyncio.AbstractEventLoop | None = None
        self._proxy: Proxy | None = None
        self._session: aiohttp.ClientSession | None = None
        self._pool: SlotPool | None = None
        self._threads: Threads | None = None
        self._sightings: Sightings | None = None
        self._flushing: asyncio.Task[None] | None = None
        self._loader: Loader | None = None

    def begin(self) -> None:
        """Nothing runs before the first request."""

    async def proxy(self) -> Proxy:
        """The proxy of the running loop."""
        loop = asyncio.get_running_loop()
        if self._proxy is None or self._loop is not loop:
            self._loop, self._proxy = loop, self._make()
        return self._proxy

    async def loader(self) -> Loader:
        """Who loads models, beside the proxy of the running loop."""
        await self.proxy()
        if self._loader is None:
            raise RuntimeError("a proxy without a loader")
        return self._loader

    async def end(self) -> None:
        """Stop; a later request begins anew."""
        if self._proxy is None:
            return
        self._proxy = None
        if self._loader is not None:
            await self._loader.close()
        if self._flushing is not None:
            self._flushing.cancel()
            await asyncio.gather(self._flushing, return_exceptions=True)
        if self._pool is not None:
            await self._pool.close()
        if self._session is not None:
            await self._session.close()
        if self._threads is not None:
            self._threads.close()

    def _make(self) -> Proxy:
        self._threads = Threads(1, "sightings")
        self._pool = SlotPool(self._instance_id, most_waiting=settings.DPL_QUEUE_MOST)
        self._session = http.session()
        self._sightings = Sightings(self._threads, time.monotonic)
        self._flushing = asyncio.get_running_loop().create_task(self._flush(), name="speeds")
        roster = RosterReader(self._pool.held)
        proxy = Proxy(
            roster=roster,
            pool=self._pool,
            session=self._session,
            sightings=self._sightings,
            limits=Limits(
                connect_s=settings.DPL_CONNECT_TIMEOUT_S,
                silence_s=settings.DPL_SILENCE_TIMEOUT_S,
                wait_s=settings.DPL_QUEUE_WAIT_S,
                max_reply_bytes=settings.DPL_MAX_REPLY_MB * 1024 * 1024,
            ),
            policy=settings.DPL_SCHEDULING,
        )
        self._loader = Loader(roster=roster, proxy=proxy, session=self._session)
        return proxy

    async def _flush(self) -> None:
        """Write what was measured, every SPEEDS_EVERY_S."""
        while True:
            await asyncio.sleep(SPEEDS_EVERY_S)
            if self._sightings is None:
                continue
            tallies = self._sightings.take_tallies()
            if tallies:
                self._sightings.chore(speeds.record, tallies=tallies)
