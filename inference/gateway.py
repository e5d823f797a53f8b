"""The gateway of one web process: its proxy with all that this needs, made when the first request comes.

Async.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable
from threading import get_ident

from django.conf import settings

from dpl_site.lib import http
from dpl_site.lib.calls import Caller
from dpl_site.lib.db import Threads
from dpl_site.lib.refusals import Refused
from inference import speeds
from inference.accounting import write_batch
from inference.attending import Young
from inference.exchange import Limits
from inference.limiting import KeyLimiter
from inference.loading import Loader
from inference.pool import SlotPool
from inference.proxy import Proxy
from inference.recorder import Load, Recorder
from inference.records import OK, Note
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
    """Gives each event loop its parts, and ends them.

    Guarantee: `end` gives back every slot, closes every connection and writes what was recorded. It writes
    measured speeds, through its Recorder what became of requests, and through its KeyLimiter what keys used; on
    kill -9 what came since the last writing is lost.
    """

    def __init__(self, instance_id: Callable[[], uuid.UUID | None]) -> None:
        """`instance_id` tells which registered process this is, None while it is none."""
        self._instance_id = instance_id
        self._parts: Parts | None = None

    def begin(self) -> None:
        """Nothing runs before the first request."""

    def now(self) -> Parts:
        """What the requests of the running loop share.

        A thread runs one loop at a time, and asking which would be a call of the system for each request.
        """
        parts = self._parts
        if parts is None or parts.thread != get_ident() or not parts.loop.is_running():
            parts = self._parts = Parts(asyncio.get_running_loop(), self._instance_id)
        return parts

    async def end(self) -> None:
        """Stop; a later request begins anew."""
        parts, self._parts = self._parts, None
        if parts is not None:
            await parts.end()


class Parts:
    """What the requests of one event loop share."""

    def __init__(self, loop: asyncio.AbstractEventLoop, instance_id: Callable[[], uuid.UUID | None]) -> None:
        self.loop, self.thread = loop, get_ident()
        self.young = Young(loop)
        self._threads = Threads(1, "sightings")
        self._records = Threads(1, "records")
        self._pool = SlotPool(instance_id, most_waiting=settings.DPL_QUEUE_MOST)
        self._session = http.session()
        self._caller = Caller(
            connect_s=settings.DPL_CONNECT_TIMEOUT_S, silence_s=settings.DPL_SILENCE_TIMEOUT_S
        )
        self._sightings = Sightings(self._threads, time.monotonic)
        roster = RosterReader(self._pool.held)
        self.proxy = Proxy(
            roster=roster,
            pool=self._pool,
            caller=self._caller,
            sightings=self._sightings,
            limits=_limits(),
            policy=settings.DPL_SCHEDULING,
        )
        self.loader = Loader(roster=roster, proxy=self.proxy, session=self._session)
        self.recorder = Recorder(
            threads=self._records,
            write=write_batch,
            load=self._load,
            instance_id=instance_id,
            most_in_full=settings.DPL_KEEP_REQUESTS_PER_S,
        )
        self._limits = Threads(1, "limits")
        self.limiter = KeyLimiter(self._limits)
        self._tasks = (
            loop.create_task(self.limiter.run(), name="limits"),
            loop.create_task(self.recorder.run(), name="records"),
            loop.create_task(self._flush(), name="speeds"),
        )

    def record(self, note: Note) -> None:
        """A request is over."""
        record = note.record(in_full=self.recorder.takes_in_full(is_good=note.outcome == OK))
        self.recorder.add(record)
        self.limiter.spend(record.key_id, record.tokens)

    async def end(self) -> None:
        """Cut, give back, write, close; in this order, so that what is cut is still recorded."""
        await self.loader.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._pool.close()
        await self.recorder.close()
        await self.limiter.close()
        await self._session.close()
        self._caller.close()
        for threads in (self._threads, self._records, self._limits):
            threads.close()

    def _load(self) -> Load:
        """What this process has in hand."""
        return Load(self._pool.waiting, dict(self._pool.busy))

    async def _flush(self) -> None:
        """Write what was measured, every SPEEDS_EVERY_S."""
        while True:
            await asyncio.sleep(SPEEDS_EVERY_S)
            if tallies := self._sightings.take_tallies():
                self._sightings.chore(speeds.record, tallies=tallies)


def _limits() -> Limits:
    return Limits(
        silence_s=settings.DPL_SILENCE_TIMEOUT_S,
        wait_s=settings.DPL_QUEUE_WAIT_S,
        max_reply_bytes=settings.DPL_MAX_REPLY_MB * 1024 * 1024,
    )
