"""/api/prometheus/query_range: from our own history, and through a Prometheus."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.test import AsyncClient
from pytest_django import Settings

from dpl_site.history import Series
from dpl_site.lib.http import Timeouts
from dpl_site.prometheus import answering, proxy
from nodes.models import Node
from tests.machines import Asked, Said, dead_url, serving

pytestmark = pytest.mark.django_db(transaction=True)
PATH = "/api/prometheus/query_range"
OK = {"status": "success", "data": {"resultType": "matrix", "result": []}}
RANGE = {"query": "dpl_node_cpu_ratio", "start": "1000", "end": "1020", "step": "10"}


class Kept:
    """A history with a flat line for each node; remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []

    def series(
        self, *, node_ids: Collection[int], metric: str, from_ms: int, to_ms: int, step_ms: int
    ) -> Sequence[Series]:
        self.asked.append({"metric": metric, "from_ms": from_ms, "to_ms": to_ms, "step_ms": step_ms})
        points = [(at, 50.0) for at in range(1_000_000, to_ms + 1, 10_000)]
        return [Series(node_id, "", 10_000, points) for node_id in node_ids]

    def rows(self) -> Mapping[str, int]:
        return {}


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> Kept:
    found = Kept()
    monkeypatch.setattr(answering, "history", lambda: found)
    return found


async def ask(keys: dict[str, str], who: str = "vera", **told: str) -> tuple[int, Any]:
    shown = {"Authorization": f"Bearer {keys[who]}"} if who else {}
    response = await AsyncClient().get(PATH, RANGE | told, headers=shown)
    assert response["Content-Type"] == "application/json"
    return response.status_code, json.loads(response.content)


async def test_without_a_prometheus_it_answers_from_our_own_history(keys: dict[str, str], kept: Kept) -> None:
    await Node.objects.acreate(name="n1")
    await Node.objects.acreate(name="n2")
    status, answer = await ask(keys, query='dpl_node_cpu_ratio{node="n2"}')
    values = [[1000.0, "0.5"], [1010.0, "0.5"], [1020.0, "0.5"]]
    metric = {"__name__": "dpl_node_cpu_ratio", "node": "n2"}
    assert (status, answer["status"], answer["data"]["resultType"]) == (200, "success", "matrix")
    assert answer["data"]["result"] == [{"metric": metric, "values": values}]
    assert kept.asked == [
        {"metric": "cpu_percent", "from_ms": 700_000, "to_ms": 1_020_000, "step_ms": 10_000}
    ]


async def test_a_query_of_an_installation_without_history_has_an_empty_answer(keys: dict[str, str]) -> None:
    assert await ask(keys) == (200, OK)


@pytest.mark.parametrize(
    ("told", "kind"),
    [
        ({"query": "rate(x[5m])"}, "bad_data"),
        ({"step": "1", "end": "99999999"}, "bad_data"),
        ({"start": "x"}, "bad_data"),
    ],
)
async def test_errors_come_in_prometheus_own_json(
    keys: dict[str, str], told: dict[str, str], kind: str
) -> None:
    status, answer = await ask(keys, **told)
    assert (status, answer["status"], answer["errorType"]) == (400, "error", kind)
    assert answer["error"]


async def test_too_many_samples_are_refused(
    keys: dict[str, str], kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answering, "MOST_SAMPLES", 2)
    await Node.objects.acreate(name="n1")
    status, answer = await ask(keys)
    assert (status, answer["errorType"]) == (422, "execution")
    assert not kept.asked


async def test_strangers_are_refused_in_our_words(keys: dict[str, str]) -> None:
    status, answer = await ask(keys, "")
    assert (status, answer["error"]["code"]) == (401, "unauthenticated")


async def test_with_a_prometheus_it_is_asked_and_its_answer_handed_on(
    keys: dict[str, str], settings: Settings
) -> None:
    with serving(lambda asked: Said(OK)) as server:
        settings.PROMETHEUS_URL = server.url + "/prefix/"
        assert await ask(keys, query="rate(up[5m])", step="1m") == (200, OK)
        asked: Asked = server.asked[0]
    assert urlsplit(asked.path).path == "/prefix/api/v1/query_range"
    told = parse_qs(urlsplit(asked.path).query)
    assert told == {
        "query": ["rate(up[5m])"],
        "start": ["1000.0"],
        "end": ["1020.0"],
        "step": ["60.0"],
        "timeout": ["30s"],
    }
    assert "Authorization" not in asked.headers


async def test_its_errors_are_handed_on_too(keys: dict[str, str], settings: Settings) -> None:
    error = {"status": "error", "errorType": "bad_data", "error": "parse error"}
    with serving(lambda asked: Said(error, status=400)) as server:
        settings.PROMETHEUS_URL = server.url
        assert await ask(keys) == (400, error)


async def test_a_year_by_the_second_is_refused_before_it_is_asked(
    keys: dict[str, str], settings: Settings
) -> None:
    with serving(lambda asked: Said(OK)) as server:
        settings.PROMETHEUS_URL = server.url
        status, _ = await ask(keys, step="1", end=str(365 * 86_400))
        assert (status, server.asked) == (400, [])


@pytest.mark.parametrize(
    "said",
    [
        Said("<html>", kind="text/html"),
        Said(OK, status=302),
        Said("[]"),
        Said({"status": "x"}),
        Said(OK, hangs_up=True),
    ],
    ids=["a page", "a redirect", "no object", "something else", "nothing"],
)
async def test_what_is_no_prometheus_is_said(keys: dict[str, str], settings: Settings, said: Said) -> None:
    with serving(lambda asked: said) as server:
        settings.PROMETHEUS_URL = server.url.replace("//", "//admin:hunter2@")
        status, answer = await ask(keys)
    assert (status, answer["errorType"]) == (503, "unavailable")
    assert "hunter2" not in answer["error"]


async def test_a_prometheus_that_is_away_is_said(keys: dict[str, str], settings: Settings) -> None:
    settings.PROMETHEUS_URL = dead_url()
    status, answer = await ask(keys)
    assert (status, answer["errorType"]) == (503, "unavailable")


async def test_a_prometheus_that_is_silent_keeps_nobody_waiting(
    keys: dict[str, str], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proxy, "TIMEOUTS", Timeouts(0.2, 0.2, 0.2, 0.2))
    with serving(lambda asked: Said(OK, after_s=30)) as server:
        settings.PROMETHEUS_URL = server.url
        status, answer = await ask(keys)
    assert (status, answer["errorType"]) == (503, "timeout")


async def test_an_endless_answer_is_cut(
    keys: dict[str, str], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proxy, "MAX_BYTES", 1_000)
    with serving(lambda asked: Said(OK | {"more": "x" * 2_000})) as server:
        settings.PROMETHEUS_URL = server.url
        status, answer = await ask(keys)
    assert (status, answer["errorType"]) == (422, "execution")


async def test_only_so_many_are_under_way(
    keys: dict[str, str], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.PROMETHEUS_URL = dead_url()
    monkeypatch.setattr(proxy, "_under_way", proxy.MOST_AT_ONCE)
    status, answer = await ask(keys)
    assert (status, "under way" in answer["error"]) == (503, True)
