"""Whether this process lives, and whether the installation can serve: /health and /ready, open and quick."""

from __future__ import annotations

import asyncio
import time

from django.http import HttpRequest, JsonResponse

from dpl_site.lib.db import call
from dpl_site.processes.serving import Readiness, database_away, read_readiness

ANSWER_WITHIN_S = 3.0
REMEMBERED_S = 1.0


async def health(request: HttpRequest) -> JsonResponse:
    """The process lives. Asks nobody."""
    return JsonResponse({"status": "ok"})


async def ready(request: HttpRequest) -> JsonResponse:
    """Database, schema, controller and worker, each `{"ok", "message"}`; 503 when one fails."""
    found = await _latest.get()
    answer = JsonResponse(found.view(), status=200 if found.is_ready else 503)
    # Django logs each 5xx as an error unless told that it was; here it is an answer that somebody polls.
    answer.__dict__["_has_been_logged"] = True
    return answer


class _Latest:
    """The latest look, at most a second old, and one look at a time: anybody may ask as often as he likes."""

    def __init__(self) -> None:
        self._look: asyncio.Task[Readiness] | None = None
        self._began = 0.0

    async def get(self) -> Readiness:
        """The readiness as it is now."""
        loop, now = asyncio.get_running_loop(), time.monotonic()
        look = self._look
        is_old = look is not None and look.done() and now - self._began > REMEMBERED_S
        if look is None or look.get_loop() is not loop or is_old:
            look = self._look = loop.create_task(call(read_readiness))
            self._began = now
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                return await asyncio.shield(look)
        except TimeoutError:
            return database_away(f"no answer within {ANSWER_WITHIN_S:g} s")


_latest = _Latest()
