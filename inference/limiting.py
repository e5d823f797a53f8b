"""Holds keys to their limits in one web process: decides in memory, exchanges with the others about every second.

Async. Keys without limits cost nothing here.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping

from django.db import DatabaseError, InterfaceError

from accounts.authentication import Principal
from accounts.limits import Claim, Grant, KeyLimits, KeyMeter, MustAsk, WindowOf
from accounts.quotas import exchange
from dpl_site.lib.db import Threads
from nodes.instances import alive

EXCHANGE_S = 0.5
KEEPS = 2
"""How many times what it used since the last exchange a process keeps of what it was granted."""
FORGET_S = 600.0
MOST_METERS = 10_000
ASKINGS = 3
"""How often one request asks, when its process's share is small, before it is told to come again."""

logger = logging.getLogger(__name__)


class KeyLimiter:
    """Admits requests of keys with limits.

    Guarantee: a request waits for the database only when its process has nothing left of what it was granted.
    All processes together never pass a limit on requests while the database can be asked; limits on tokens are
    passed by what is under way. It writes KeyUse rows through `quotas`. While the database is away each process
    goes by what it knows. On kill -9 what the process was granted and had not used is lost to the window, and
    tokens of the last EXCHANGE_S are not counted.
    """

    def __init__(self, threads: Threads, clock: Callable[[], float] = time.time) -> None:
        """`clock` gives epoch seconds."""
        self._threads, self._clock = threads, clock
        self._meters: dict[int, KeyMeter] = {}
        self._exchanging: asyncio.Task[None] | None = None

    async def admit(self, principal: Principal) -> dict[str, str]:
        """Count one request; the headers that tell what is left. Raises OverLimit."""
        if principal.key_id is None or not principal.limits:
            return {}
        meter = self._meters.get(principal.key_id) or self._met(principal.key_id, principal.limits)
        for _ in range(ASKINGS):
            try:
                return meter.admit(principal.limits, self._clock())
            except MustAsk:
                await self._exchanged()
        raise meter.over(self._clock())

    def spend(self, key_id: int | None, tokens: int) -> None:
        """A request of this key came to its end."""
        meter = self._meters.get(key_id or 0)
        if meter is not None and tokens:
            meter.spend(tokens, self._clock())

    async def run(self) -> None:
        """Exchange until cancelled."""
        while True:
            await asyncio.sleep(EXCHANGE_S)
            if self._meters:
                await self._exchanged(keeps=KEEPS)

    async def close(self) -> None:
        """Tell what is left to tell, and give back what was not used."""
        if self._meters:
            await self._exchanged(keeps=0)

    def _met(self, key_id: int, limits: KeyLimits) -> KeyMeter:
        """A meter for a key that was not used here lately."""
        while len(self._meters) >= MOST_METERS:
            del self._meters[next(iter(self._meters))]
        meter = self._meters[key_id] = KeyMeter(key_id, limits)
        meter.used_at = self._clock()
        return meter

    async def _exchanged(self, keeps: int | None = None) -> None:
        """Wait for an exchange that begins now; several who ask at once share one."""
        if self._exchanging is not None and not self._exchanging.done():
            await asyncio.shield(self._exchanging)
        if self._exchanging is None or self._exchanging.done():
            self._exchanging = asyncio.get_running_loop().create_task(self._exchange(keeps), name="limits")
        await asyncio.shield(self._exchanging)

    async def _exchange(self, keeps: int | None) -> None:
        now = self._clock()
        claimed = {key_id: meter.claims(now, keeps=keeps) for key_id, meter in self._meters.items()}
        claimed = {key_id: claims for key_id, claims in claimed.items() if claims}
        if claimed:
            await self._ask(claimed)
        self._meters = {
            key_id: meter for key_id, meter in self._meters.items() if now - meter.used_at < FORGET_S
        }

    async def _ask(self, claimed: Mapping[int, list[Claim]]) -> None:
        meters = {key_id: self._meters[key_id] for key_id in claimed}
        try:
            grants, processes = await self._threads.call(
                _exchange, [claim for claims in claimed.values() for claim in claims]
            )
        except (DatabaseError, InterfaceError) as error:
            logger.warning("limits of keys go by what is known: %s", " ".join(str(error).split()))
            for key_id, meter in meters.items():
                meter.failed(claimed[key_id], self._clock())
            return
        for key_id, meter in meters.items():
            meter.learn(claimed[key_id], grants, processes, self._clock())


def _exchange(claims: list[Claim]) -> tuple[dict[WindowOf, Grant], int]:
    """In a thread: what was granted, and how many processes there are."""
    processes = max(alive().filter(kind="web").count(), 1)
    return exchange(claims=claims, processes=processes), processes
