"""What goes out of this installation beside answers: queued messages, and the heartbeat that tells others it lives."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor

from django.conf import settings

from alerts import notices
from alerts.heartbeat import Beat
from alerts.notices import Claimed
from dpl_site.lib import http, messenger
from dpl_site.lib.db import call
from dpl_site.lib.messenger import Outcome

SEND_WITHIN_S = messenger.TIMEOUT_S + messenger.SLACK_S + 10
BEAT_EVERY_S = 60.0
BEAT_WITHIN_S = 10.0


class Postman:
    """Sends what waits in the outbox, a few messages at once, each in a thread of its own with a timeout.

    Guarantee: a message is claimed by a conditional update before it is sent, so no two processes send it at the
    same time; it is sent at least once, until it is taken or too old. Writes Delivery, DeliveryAttempt and
    ChannelStatus rows. On kill -9 its claims end by themselves and the messages are sent again: one that had gone
    out just before arrives twice.
    """

    def __init__(self) -> None:
        self._threads: ThreadPoolExecutor | None = None

    async def outcomes(self) -> AsyncGenerator[tuple[Claimed, Outcome, int], None]:
        """Claim what is due, send it, and give what came of each with the milliseconds it took."""
        claimed = await call(notices.claim)
        if not claimed:
            return
        if self._threads is None:
            self._threads = ThreadPoolExecutor(notices.AT_ONCE, thread_name_prefix="postman")
        loop = asyncio.get_running_loop()
        sent = [loop.run_in_executor(self._threads, _send, one) for one in claimed]
        for done in asyncio.as_completed(sent):
            yield await done

    async def close(self) -> None:
        """Wait for nothing: what is under way is claimed, and is tried again."""
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)
            self._threads = None


async def heartbeats() -> AsyncGenerator[Beat, None]:
    """Ask DPL_HEARTBEAT_URL once, where one is set: whoever watches it calls for help when this stops."""
    if not settings.DPL_HEARTBEAT_URL:
        return
    yield Beat(await _ask(settings.DPL_HEARTBEAT_URL))


def record(one: tuple[Claimed, Outcome, int]) -> None:
    """Note what came of a message."""
    claimed, outcome, took_ms = one
    notices.record_outcome(claimed=claimed, outcome=outcome, took_ms=took_ms)


def _send(claimed: Claimed) -> tuple[Claimed, Outcome, int]:
    began = time.monotonic()
    outcome = messenger.send(claimed.url, claimed.title, claimed.body, kind=claimed.kind)
    return claimed, outcome, round((time.monotonic() - began) * 1000)


async def _ask(url: str) -> str:
    """Why it failed, empty when it did not; never the address, which holds a secret as a rule."""
    import httpx

    limits = http.Timeouts(connect_s=5.0, first_byte_s=8.0, idle_s=8.0, total_s=BEAT_WITHIN_S)
    try:
        async with (
            asyncio.timeout(BEAT_WITHIN_S),
            http.outside_async(timeouts=limits) as client,
            client.stream("GET", url) as response,
        ):
            return "" if response.is_success else f"it answers {response.status_code}"
    except TimeoutError:
        return f"no answer within {BEAT_WITHIN_S:g} s"
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        return type(error).__name__
