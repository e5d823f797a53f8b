"""What is recorded of requests through real sockets: answers, failures, failovers, clients that leave."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from accounts.models import ApiKey, UsageDay
from inference.models import EngineSpeed, EngineStatus, GatewayCounter, RequestLog, Slot
from tests.datasets.making import an_engine
from tests.inference.serving import served, until
from tests.machines import Said, dead_url, engine, serving

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

CHAT, OLLAMA_CHAT = "/v1/chat/completions", "/api/chat"
SAID = "say it again please"


@pytest.fixture
def site(keys: dict[str, str]) -> Iterator[str]:
    with served() as url:
        yield url


@pytest.fixture
def client(site: str, keys: dict[str, str]) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {keys['otto']}"}
    with httpx.Client(base_url=site, headers=headers, timeout=20) as made:
        yield made


def body(*, stream: bool, model: str = "m") -> dict[str, Any]:
    return {"model": model, "stream": stream, "messages": [{"role": "user", "content": SAID}]}


def logged(count: int = 1) -> list[RequestLog]:
    """The rows, oldest first, once there are so many."""
    until(lambda: RequestLog.objects.count() >= count)
    return list(RequestLog.objects.order_by("id"))


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("path", [CHAT, OLLAMA_CHAT])
@pytest.mark.parametrize("kind", ["ollama", "openai"])
def test_an_answer_is_recorded_with_its_tokens(
    client: httpx.Client, kind: str, path: str, stream: bool
) -> None:
    with engine(models=("m",), dialect=kind, echo=True) as url:
        an_engine("fast", url, kind=kind)
        answer = client.post(path, json=body(stream=stream), headers={"X-Request-ID": "r-1"})
        assert answer.status_code == 200
    (row,) = logged()
    key = ApiKey.objects.get(user__username="otto")
    assert (row.request_id, row.key_id, row.user_id) == ("r-1", key.id, key.user_id)
    assert (row.path, row.model, row.node_name, row.outcome, row.status) == (path, "m", "fast", "ok", 200)
    assert (row.is_streaming, row.attempts) == (stream, 1)
    assert row.completion_tokens
    assert row.is_estimated or row.prompt_tokens
    assert (row.ttft_ms is not None) or not stream
    assert "model resident" in json.loads(row.decision)[0]["reasons"]
    day = UsageDay.objects.get()
    assert (day.requests, day.failed, day.completion_tokens) == (1, 0, row.completion_tokens)


def test_an_engine_that_tells_tokens_when_asked_is_asked_and_the_client_sees_nothing_of_it(
    client: httpx.Client,
) -> None:
    with engine(models=("m",), dialect="openai", echo=True) as url:
        an_engine("fast", url, kind="openai")
        EngineStatus.objects.update(server="llama.cpp b1")
        asked = client.post(CHAT, json=body(stream=True)).text
        wanted = client.post(CHAT, json=body(stream=True) | {"stream_options": {"include_usage": True}}).text
    assert asked.endswith("data: [DONE]\n\n")
    assert '"usage":{' not in asked.replace(" ", "")
    assert '"usage":{' in wanted.replace(" ", "")
    rows = logged(2)
    assert [row.is_estimated for row in rows] == [False, False]
    assert rows[0].prompt_tokens == rows[1].prompt_tokens != 0
    assert rows[0].completion_tokens == rows[1].completion_tokens


def test_a_failover_tells_of_both_machines(client: httpx.Client) -> None:
    with engine(models=("m",), echo=True) as url:
        for made, seconds in ((an_engine("dead", dead_url()), 0.1), (an_engine("slow", url), 9.0)):
            EngineSpeed.objects.create(
                engine=made, model="m", tokens_per_second=9, seconds_per_request=seconds
            )
        assert client.post(OLLAMA_CHAT, json=body(stream=False)).status_code == 200
    (row,) = logged()
    assert (row.node_name, row.attempts, row.outcome) == ("slow", 2, "ok")
    first, second = json.loads(row.decision)
    assert (first["node"]["name"], first["error"]["code"]) == ("dead", "unreachable")
    assert (second["node"]["name"], second["error"]) == ("slow", None)
    assert GatewayCounter.objects.get(name="failovers").node == "dead"


def test_errors_are_recorded_with_their_code(client: httpx.Client) -> None:
    an_engine("fast", dead_url())
    client.post(CHAT, content=b"{")
    client.post(CHAT, json=body(stream=True, model="nope"))
    client.post(CHAT, json=body(stream=True))
    rows = logged(3)
    assert [(row.outcome, row.status) for row in rows] == [
        ("invalid_json", 400),
        ("model_not_found", 404),
        ("unreachable", 503),
    ]
    assert [(one["error"] or {}).get("code") for one in json.loads(rows[2].decision)] == ["unreachable", None]
    assert rows[2].node_name == "fast"
    assert (rows[1].model_asked, rows[1].model) == ("nope", "")
    assert "does not have nope" in rows[1].decision
    assert {row.model for row in UsageDay.objects.all()} == {"", "m"}


def test_strangers_are_counted_and_not_listed(site: str, client: httpx.Client) -> None:
    httpx.post(site + CHAT, json={}, headers={"Authorization": "Bearer dpl_x"})
    client.post(CHAT, content=b"{")
    assert [row.outcome for row in logged()] == ["invalid_json"]
    counted = dict(GatewayCounter.objects.filter(name="requests").values_list("label", "value"))
    assert counted == {"invalid_api_key": 1, "invalid_json": 1}


def test_a_client_that_leaves_has_used_what_was_produced(site: str, keys: dict[str, str]) -> None:
    with engine(models=("m",), tokens_per_second=50, words=2000) as url:
        an_engine("fast", url, slots=1)
        host, port = site.removeprefix("http://").split(":")
        raw = json.dumps(body(stream=True)).encode()
        head = f"POST {OLLAMA_CHAT} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {keys['otto']}\r\n"
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(f"{head}Content-Length: {len(raw)}\r\n\r\n".encode() + raw)
            heard = b""
            while heard.count(b'"done":false') < 10:
                heard += connection.recv(4096)
        (row,) = logged()
    assert (row.outcome, row.status, row.is_estimated) == ("cancelled", 499, True)
    assert row.completion_tokens is not None
    assert row.completion_tokens >= 10
    day = UsageDay.objects.get()
    assert (day.requests, day.failed, day.cancelled) == (1, 0, 1)
    assert day.completion_tokens == row.completion_tokens
    assert GatewayCounter.objects.get(name="cancels").value == 1


def test_a_clean_end_of_the_server_loses_no_record(keys: dict[str, str]) -> None:
    headers = {"Authorization": f"Bearer {keys['otto']}"}
    with engine(models=("m",), echo=True) as url, served() as site:
        an_engine("fast", url)
        with httpx.Client(base_url=site, headers=headers, timeout=20) as client:
            for _ in range(5):
                assert client.post(OLLAMA_CHAT, json=body(stream=False)).status_code == 200
    assert RequestLog.objects.count() == 5
    assert not Slot.objects.filter(holder__isnull=False).exists()


def test_the_engine_gets_the_request_id_and_the_clients_trace(client: httpx.Client) -> None:
    parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    sent = {"X-Request-ID": "r-7", "traceparent": parent, "tracestate": "vendor=1"}
    said = {"model": "m", "message": {"role": "assistant", "content": "x"}, "done": True}
    with serving(lambda asked: Said(said)) as machine:
        an_engine("fast", machine.url)
        answer = client.post(OLLAMA_CHAT, json=body(stream=False), headers=sent)
        client.post(OLLAMA_CHAT, json=body(stream=False), headers={"traceparent": "00-x"})
    assert answer.headers["x-request-id"] == "r-7"
    first, second = ({name.lower(): value for name, value in one.headers.items()} for one in machine.asked)
    assert (first["x-request-id"], first["traceparent"], first["tracestate"]) == ("r-7", parent, "vendor=1")
    assert "traceparent" not in second


def test_metrics_tell_of_what_runs_and_of_what_ran(client: httpx.Client) -> None:
    with engine(models=("m",), tokens_per_second=20, words=1000) as url:
        an_engine("fast", url, slots=1)
        with client.stream("POST", OLLAMA_CHAT, json=body(stream=True)) as answer:
            lines = answer.iter_lines()
            next(lines)
            until(lambda: 'dpl_gateway_in_flight{node="fast"} 1.0' in client.get("/metrics").text)
        told = 'dpl_gateway_cancels_total{model="m",node="fast"} 1.0'
        until(lambda: told in client.get("/metrics").text)
        until(lambda: 'dpl_gateway_in_flight{node="fast"} 0.0' in client.get("/metrics").text)
