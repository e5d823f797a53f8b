"""Asks machines now, as somebody who looks at FlowLine's page wants it: seldom, shortly, and once for all who ask."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection

from dpl_site.lib.db import call
from inference.probe import FleetProbe
from inference.services import record_fleet
from nodes.selectors import live_nodes

WITHIN_S = 3.0
"""How long a caller waits; who has not answered by then is seen by the controller's next tick."""
NOT_AGAIN_S = 1.0
"""A machine that was asked so lately is not asked again: its reading is of now."""
MOST_REMEMBERED = 10_000

logger = logging.getLogger(__name__)


class Refresher:
    """One web process's refreshes.

    Guarantee: each machine is asked at most once in NOT_AGAIN_S, however many people press the button, and
    nobody waits longer than WITHIN_S. It writes what the controller's tick writes; a kill -9 leaves that as
    it is.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._asked_at: dict[int, float] = {}

    async def refresh(self, node_ids: Collection[int] | None = None) -> int:
        """Ask these nodes, or all, and record what they say; how many were asked."""
        wanted = await call(_live_ids) if node_ids is None else list(node_ids)
        due = self._take(wanted)
        if due:
            try:
                async with asyncio.timeout(WITHIN_S):
                    await _ask(due)
            except TimeoutError:
                logger.warning("not every machine answered a refresh in %g s", WITHIN_S)
        return len(due)

    def _take(self, wanted: Collection[int]) -> list[int]:
        """Those that may be asked again; from now on they have been asked."""
        now = self._clock()
        if len(self._asked_at) > MOST_REMEMBERED:
            self._asked_at = {one: at for one, at in self._asked_at.items() if now - at < NOT_AGAIN_S}
        due = [one for one in wanted if now - self._asked_at.get(one, float("-inf")) >= NOT_AGAIN_S]
        self._asked_at |= dict.fromkeys(due, now)
        return due


async def _ask(node_ids: Collection[int]) -> None:
    probe = FleetProbe()
    try:
        async for reading in probe.answers(node_ids):
            await call(record_fleet, reading=reading)
    finally:
        await probe.close()


def _live_ids() -> list[int]:
    return list(live_nodes().values_list("id", flat=True))


refresher = Refresher()
