"""Web processes that end: in order, no record is lost; by kill -9, those of the last moment at most."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator

import httpx
import pytest
from django.db.models import Sum

from accounts.models import UsageDay
from dpl_site.processes.ports import free_port
from inference.models import GatewayCounter, RequestLog
from tests.datasets.making import an_engine
from tests.inference.serving import until
from tests.machines import engine
from tests.processes.site_process import SiteProcess

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow, pytest.mark.timeout(180)]

BODY = {"model": "m", "stream": False, "messages": [{"role": "user", "content": "say it again"}]}
LATE_S = 3.0
"""What ended so long before a kill is written: the promise is one second, on a machine that has time."""


@pytest.fixture
def web(keys: dict[str, str]) -> Iterator[tuple[SiteProcess, httpx.Client]]:
    """`manage.py web` before an engine that echoes, and a client with otto's key."""
    port = free_port(0)
    with engine(models=("m",), echo=True) as url:
        an_engine("fast", url, slots=4)
        process = SiteProcess("web", "--port", str(port))
        headers = {"Authorization": f"Bearer {keys['otto']}"}
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=30) as client:
            until(lambda: answers(client), 60)
            yield process, client
        process.close()


def answers(client: httpx.Client) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return client.post("/api/chat", json=BODY).status_code == 200
    return False


def sums() -> tuple[int | None, float | None]:
    """Requests as usage and as the metrics tell them."""
    used = UsageDay.objects.aggregate(sum=Sum("requests"))["sum"]
    counted = GatewayCounter.objects.filter(name="requests", label="ok").aggregate(sum=Sum("value"))["sum"]
    return used, counted


def test_a_clean_stop_loses_nothing(web: tuple[SiteProcess, httpx.Client]) -> None:
    process, client = web
    asked = 1 + sum(answers(client) for _ in range(40))
    assert process.stop() == 0
    assert RequestLog.objects.filter(outcome="ok").count() == asked
    assert sums() == (RequestLog.objects.count(), asked)


def test_a_kill_loses_the_last_moment_at_most(web: tuple[SiteProcess, httpx.Client]) -> None:
    process, client = web
    ended: list[float] = []

    def ask() -> None:
        while answers(client):
            ended.append(time.time())

    asking = threading.Thread(target=ask)
    asking.start()
    time.sleep(2 * LATE_S)
    process.kill()
    killed = time.time()
    asking.join(30)
    early = [moment for moment in ended if moment < killed - LATE_S]
    used, counted = sums()
    assert early
    assert used is not None
    assert len(early) <= used <= len(ended) + 2  # the first request, and one whose answer was cut by the kill
    assert counted == used
    assert 0 < RequestLog.objects.count() <= used
