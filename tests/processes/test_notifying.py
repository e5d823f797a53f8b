"""What goes out of a controller: messages from the outbox, and the heartbeat."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from alerts import notices
from alerts.models import Channel, Delivery, DeliveryAttempt
from dpl_site.lib.db import call, now_ms
from dpl_site.processes.notifying import Postman, heartbeats, record
from dpl_site.processes.watching import WatchLoop
from tests.alerts.receivers import WebhookReceiver, running

pytestmark = pytest.mark.django_db(transaction=True)


def queue(url: str) -> Delivery:
    channel = Channel.objects.create(name="ops", kind="webhook", url=url)
    now = now_ms()
    return Delivery.objects.create(
        channel=channel,
        title="DPL: GPU hot, box",
        body="box: hot",
        severity="critical",
        created_ms=now,
        next_ms=now,
        expires_ms=now + 3_600_000,
    )


async def test_the_postman_sends_what_waits_and_notes_what_came_of_it() -> None:
    receiver = WebhookReceiver()
    delivery = await call(queue, receiver.url)
    postman = Postman()
    with running(receiver):
        async for outcome in postman.outcomes():
            await call(record, outcome)
        assert [one async for one in postman.outcomes()] == [], "it is sent once"
    await postman.close()
    await call(delivery.refresh_from_db)
    assert delivery.state == "sent"
    assert [told["title"] for _, told in receiver.taken] == ["DPL: GPU hot, box"]
    assert receiver.taken[0][1]["type"] == "failure"


async def test_a_message_that_is_not_taken_waits_for_its_next_try() -> None:
    receiver = WebhookReceiver()
    receiver.status = 503
    delivery = await call(queue, receiver.url)
    postman = Postman()
    with running(receiver):
        async for outcome in postman.outcomes():
            await call(record, outcome)
    await postman.close()
    await call(delivery.refresh_from_db)
    assert (delivery.state, delivery.attempts) == ("queued", 1)
    assert delivery.next_ms > delivery.created_ms + 5_000
    assert "503" in (await call(DeliveryAttempt.objects.get)).error
    assert await call(notices.has_queued)


async def test_a_web_process_without_an_instance_watches_nothing() -> None:
    watch = WatchLoop(lambda: None)
    await watch.once()
    watch.begin()
    await watch.end()


class _Pinged(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        """Count it."""
        server: Any = self.server
        server.asked.append(self.path)
        self.send_response(server.status)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


async def test_the_heartbeat_asks_the_address_that_is_set_and_says_what_failed(settings: Any) -> None:
    assert [one async for one in heartbeats()] == [], "none is set"
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), _Pinged)
    server.asked, server.status = [], 200
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    settings.DPL_HEARTBEAT_URL = f"http://127.0.0.1:{server.server_port}/ping/s3cret"
    assert [one.error async for one in heartbeats()] == [""]
    server.status = 302
    assert [one.error async for one in heartbeats()] == ["it answers 302"]
    server.shutdown()
    server.server_close()
    thread.join()
    failed = [one.error async for one in heartbeats()]
    assert failed == ["ConnectError"]
    assert server.asked == ["/ping/s3cret"] * 2
    settings.DPL_HEARTBEAT_URL = "no address"
    assert len([one.error async for one in heartbeats() if one.error]) == 1
