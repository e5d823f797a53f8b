"""The gateway over real sockets: both dialects of clients through both dialects of engines, failures, leaving."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from pytest_django import Settings

from accounts.models import User
from accounts.services import key_create
from inference import streams
from inference.models import EngineModel, EngineSpeed, Slot
from tests.datasets.making import an_engine
from tests.inference.serving import served, until
from tests.machines import Asked, Said, dead_url, engine, serving

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

CHAT, OLLAMA_CHAT, GENERATE = "/v1/chat/completions", "/api/chat", "/api/generate"
SAID = "say it again"


@pytest.fixture
def site() -> Iterator[str]:
    """The address of a server that gives back every slot when it ends."""
    with served() as url:
        yield url
    assert not Slot.objects.filter(holder__isnull=False).exists(), "a slot was kept"


@pytest.fixture
def client(site: str, keys: dict[str, str]) -> Iterator[httpx.Client]:
    """A client with otto's key."""
    headers = {"Authorization": f"Bearer {keys['otto']}"}
    with httpx.Client(base_url=site, headers=headers, timeout=20) as made:
        yield made


def body(path: str, *, stream: bool, **more: Any) -> dict[str, Any]:
    """A request that an echoing engine answers with SAID."""
    said = {"prompt": SAID} if path == GENERATE else {"messages": [{"role": "user", "content": SAID}]}
    return {"model": "m", "stream": stream} | said | more


def text_of(path: str, response: httpx.Response, *, stream: bool) -> str:
    """The text of an answer, which must be whole."""
    assert response.status_code == 200, response.text
    if path == CHAT:
        if not stream:
            return str(response.json()["choices"][0]["message"]["content"])
        events = [
            line.removeprefix("data: ") for line in response.text.splitlines() if line.startswith("data")
        ]
        assert events[-1] == "[DONE]"
        chunks = [json.loads(event) for event in events[:-1]]
        choices = [choice for chunk in chunks for choice in chunk["choices"]]
        assert choices[-1]["finish_reason"]
        return "".join(choice["delta"].get("content") or "" for choice in choices)
    lines = [json.loads(line) for line in response.text.splitlines()]
    assert lines[-1]["done"] is True
    if path == GENERATE:
        return "".join(line["response"] for line in lines)
    return "".join(line["message"]["content"] for line in lines)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("path", [CHAT, OLLAMA_CHAT, GENERATE])
@pytest.mark.parametrize("kind", ["ollama", "openai"])
def test_each_client_gets_its_answer_from_each_kind_of_engine(
    client: httpx.Client, kind: str, path: str, stream: bool
) -> None:
    with engine(models=("m",), dialect=kind, echo=True) as url:
        node_id = an_engine("fast", url, kind=kind).node_id
        response = client.post(path, json=body(path, stream=stream))
        assert text_of(path, response, stream=stream) == SAID
    assert response.headers["x-dpl-node"] == str(node_id)
    assert response.headers["x-dpl-node-name"] == "fast"
    wanted = {CHAT: "text/event-stream"}.get(path, "application/x-ndjson") if stream else "application/json"
    assert response.headers["content-type"].startswith(wanted)


@pytest.mark.parametrize("kind", ["ollama", "openai"])
@pytest.mark.parametrize("stream", [True, False])
def test_a_plain_completion_comes_from_each_kind_of_engine(
    client: httpx.Client, kind: str, stream: bool
) -> None:
    with engine(models=("m",), dialect=kind, echo=True) as url:
        an_engine("fast", url, kind=kind)
        response = client.post("/v1/completions", json={"model": "m", "prompt": SAID, "stream": stream})
    assert response.status_code == 200, response.text
    told = [line[6:] for line in response.text.splitlines() if line.startswith("data: {")]
    chunks = [json.loads(one) for one in told] if stream else [response.json()]
    choices = [choice for chunk in chunks for choice in chunk["choices"]]
    assert "".join(choice["text"] for choice in choices) == SAID
    assert choices[-1]["finish_reason"] == "stop"


@pytest.mark.parametrize("kind", ["ollama", "openai"])
def test_vectors_are_the_same_whoever_asks_and_whoever_answers(client: httpx.Client, kind: str) -> None:
    with engine(models=("bge",), dialect=kind) as url:
        an_engine("fast", url, kind=kind, models=(), embedders=("bge",))
        texts = {"model": "bge", "input": ["one", "two"]}
        openais = client.post("/v1/embeddings", json=texts).json()
        ollamas = client.post("/api/embed", json=texts).json()
        older = client.post("/api/embeddings", json={"model": "bge", "prompt": "one"}).json()
        refused = client.post(CHAT, json=body(CHAT, stream=False, model="bge"))
    vectors = [row["embedding"] for row in openais["data"]]
    assert len(vectors) == 2
    assert ollamas["embeddings"] == vectors
    assert older["embedding"] == vectors[0]
    assert openais["usage"]["prompt_tokens"] > 0
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "model_only_embeds")


def test_an_engine_that_makes_no_vectors_says_so_and_stays_in_rotation(client: httpx.Client) -> None:
    with engine(models=("m",), dialect="openai", echo=True) as url:
        an_engine("fast", url, kind="openai")
        for _ in range(6):
            response = client.post("/v1/embeddings", json={"model": "m", "input": "one"})
            assert response.status_code == 501
            assert "does not support embeddings" in response.json()["error"]["message"]
        response = client.post(CHAT, json=body(CHAT, stream=False))
        assert text_of(CHAT, response, stream=False) == SAID


@pytest.mark.parametrize("kind", ["ollama", "openai"])
def test_seed_ones_chat_names_the_node_first(client: httpx.Client, kind: str) -> None:
    asked = {"messages": [{"role": "user", "content": SAID}]}
    with engine(models=("m",), dialect=kind, echo=True) as url:
        node_id = an_engine("fast", url, kind=kind).node_id
        streamed = client.post("/api/chat/completions", json=asked)
        plain = client.post("/api/chat/completions", json=asked | {"stream": False, "model": "auto"})
        wrong = client.post("/api/chat/completions", json={})
    first, second, *_ = streamed.text.splitlines()
    assert first == "event: node"
    node = json.loads(second.removeprefix("data: "))
    assert (node["id"], node["name"], "model resident" in node["reasons"]) == (node_id, "fast", True)
    chunks = streamed.text.split("\n\n", 1)[1]
    assert text_of(CHAT, httpx.Response(200, text=chunks), stream=True) == SAID
    assert plain.json()["node"] == {"id": node_id, "name": "fast"}
    assert text_of(CHAT, plain, stream=False) == SAID
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (400, "bad_messages")


def test_when_another_node_takes_over_it_is_named_again(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "PING_S", 0.05)
    asked = {"model": "m", "messages": [{"role": "user", "content": SAID}]}
    with (
        serving(lambda asked: Said({"error": "ill"}, status=500, after_s=0.5)) as ill,
        engine(models=("m",), dialect="openai", echo=True) as sound,
    ):
        for name, url, seconds in (("ill", ill.url, 0.1), ("sound", sound, 9.0)):
            made = an_engine(name, url, kind="openai")
            EngineSpeed.objects.create(
                engine=made, model="m", tokens_per_second=9, seconds_per_request=seconds
            )
        text = client.post("/api/chat/completions", json=asked).text
    nodes = [json.loads(line[6:])["name"] for line in text.splitlines() if '"reasons"' in line]
    assert nodes == ["ill", "sound"]
    assert ": ping" in text
    chunks = text.rsplit('"reasons"', 1)[1].split("\n\n", 1)[1]
    assert text_of(CHAT, httpx.Response(200, text=chunks), stream=True) == SAID


def test_a_conversation_goes_on_where_it_began(client: httpx.Client) -> None:
    turns: list[dict[str, str]] = []
    with engine(models=("m",), echo=True) as one, engine(models=("m",), echo=True) as other:
        an_engine("one", one)
        an_engine("other", other)
        for question in range(8):
            nodes = set()
            turns = [{"role": "user", "content": f"question {question}"}]
            for _ in range(3):
                response = client.post(OLLAMA_CHAT, json={"model": "m", "messages": turns, "stream": False})
                nodes.add(response.headers["x-dpl-node-name"])
                turns += [response.json()["message"], {"role": "user", "content": "go on"}]
            assert len(nodes) == 1


@pytest.mark.parametrize("kind", ["ollama", "openai"])
def test_usage_is_told_when_it_is_asked_for(client: httpx.Client, kind: str) -> None:
    with engine(models=("m",), dialect=kind, echo=True) as url:
        an_engine("fast", url, kind=kind)
        asked = body(CHAT, stream=True, stream_options={"include_usage": True})
        lines = client.post(CHAT, json=asked).text.splitlines()
    events = [json.loads(line[6:]) for line in lines if line.startswith("data: {")]
    assert events[-1]["usage"]["completion_tokens"] > 0


def test_another_engine_answers_when_the_best_is_dead(client: httpx.Client) -> None:
    with engine(models=("m",), echo=True) as url:
        an_engine("dead", dead_url())
        an_engine("slow", url)
        for _ in range(4):
            response = client.post(OLLAMA_CHAT, json=body(OLLAMA_CHAT, stream=True))
            assert text_of(OLLAMA_CHAT, response, stream=True) == SAID
            assert response.headers["x-dpl-node-name"] == "slow"


@pytest.mark.parametrize("path", [CHAT, OLLAMA_CHAT])
@pytest.mark.parametrize("kind", ["ollama", "openai"])
def test_an_answer_that_breaks_off_ends_with_an_error_in_the_clients_dialect(
    client: httpx.Client, kind: str, path: str
) -> None:
    with engine(models=("m",), dialect=kind, echo=True, fail_rate=1.0, faults=("no-terminator",)) as url:
        an_engine("fast", url, kind=kind)
        response = client.post(path, json=body(path, stream=True))
    last = [line for line in response.text.splitlines() if line.strip()][-1].removeprefix("data: ")
    assert "broke off" in str(json.loads(last)["error"]) or "without being done" in str(
        json.loads(last)["error"]
    )


@pytest.mark.parametrize("kind", ["ollama", "openai"])
@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_leaves_frees_engine_and_slot_at_once(
    site: str, keys: dict[str, str], kind: str, stream: bool
) -> None:
    with engine(models=("m",), dialect=kind, latency_s=30) as url:
        an_engine("fast", url, kind=kind, slots=1)
        host, port = site.removeprefix("http://").split(":")
        raw = json.dumps(body(CHAT, stream=stream)).encode()
        head = f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {keys['otto']}\r\n"
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(f"{head}Content-Length: {len(raw)}\r\n\r\n".encode() + raw)
            until(lambda: stats(url)["in_flight"] == 1)
        until(lambda: stats(url)["in_flight"] == 0)
        assert stats(url)["cancelled"] == 1
    until(lambda: not Slot.objects.filter(holder__isnull=False).exists(), 3)


def stats(url: str) -> dict[str, Any]:
    """What the simulator counted."""
    found: dict[str, Any] = httpx.get(f"{url}/sim/stats").json()
    return found


def test_no_more_run_at_once_than_the_engine_has_slots(client: httpx.Client) -> None:
    with engine(models=("m",), echo=True, slots=2, max_queue=0, latency_s=0.05) as url:
        an_engine("fast", url, slots=2)
        with ThreadPoolExecutor(8) as pool:
            asked = body(OLLAMA_CHAT, stream=False)
            answers = list(pool.map(lambda _: client.post(OLLAMA_CHAT, json=asked), range(24)))
        # The engine would refuse a third.
        assert all(text_of(OLLAMA_CHAT, one, stream=False) == SAID for one in answers)


def test_a_full_queue_is_told_with_when_to_come_again(
    site: str, keys: dict[str, str], settings: Settings
) -> None:
    settings.DPL_QUEUE_MOST = 0
    with (
        engine(latency_s=30) as url,
        httpx.Client(headers={"Authorization": f"Bearer {keys['otto']}"}) as client,
    ):
        an_engine("fast", url, slots=1)
        response = client.post(f"{site}{OLLAMA_CHAT}", json=body(OLLAMA_CHAT, stream=False))
    assert response.status_code == 429
    assert int(response.headers["retry-after"]) >= 1
    assert "Too many requests wait" in response.json()["error"]


BAD = (
    (b"", 400, "no body"),
    (b"{", 400, "not JSON"),
    (b"[]", 400, "JSON object"),
    (b'{"messages": "x"}', 400, "list of messages"),
    (b'{"messages": []}', 400, "at least one"),
    (b'{"messages": [{"role": "wizard", "content": "x"}]}', 400, "role 'wizard'"),
    (b'{"messages": [{"role": "user", "content": "x"}], "stream": "yes"}', 400, "stream must be"),
    (b'{"messages": [{"role": "user", "content": "x"}], "model": 3}', 400, "model must be"),
    (b'{"messages": [{"role": "user", "content": "x"}], "model": "nope"}', 404, "There are: m."),
)


def test_bad_input_is_told_in_openais_words(client: httpx.Client) -> None:
    an_engine("fast", dead_url())
    for raw, status, told in BAD:
        response = client.post(CHAT, content=raw)
        assert response.status_code == status, raw
        assert told in response.json()["error"]["message"]


def test_it_takes_keys_of_those_who_may_generate_and_posts_only(site: str, keys: dict[str, str]) -> None:
    vera = {"Authorization": f"Bearer {keys['vera']}"}
    assert httpx.post(site + OLLAMA_CHAT, json={}).status_code == 401
    assert (
        httpx.post(site + OLLAMA_CHAT, json={}, headers={"Authorization": "Bearer dpl_x"}).status_code == 401
    )
    assert httpx.post(site + OLLAMA_CHAT, json={}, headers=vera).status_code == 403
    response = httpx.get(site + CHAT, headers=vera)
    assert (response.status_code, response.headers["allow"]) == (405, "POST")
    assert response.json()["error"]["message"]


def test_a_program_without_a_key_may_come_from_a_network_that_has_one(
    site: str, keys: dict[str, str], people: dict[str, User], settings: Settings
) -> None:
    key_create(user=people["otto"], name="lan")
    settings.DPL_CIDR_KEYS = [("127.0.0.0/8", "lan")]
    with engine(models=("m",), echo=True) as url:
        an_engine("fast", url)
        response = httpx.post(site + CHAT, json=body(CHAT, stream=False))
        assert text_of(CHAT, response, stream=False) == SAID
        page = {"Origin": "https://elsewhere.example"}
        assert httpx.post(site + CHAT, json=body(CHAT, stream=False), headers=page).status_code == 401


def test_ollamas_500_for_a_wrong_option_is_the_clients_own_fault_and_passed_on(client: httpx.Client) -> None:
    with engine(models=("m",)) as url:
        an_engine("fast", url)
        wrong = body(OLLAMA_CHAT, stream=False, options={"temperature": "hot"})
        response = client.post(OLLAMA_CHAT, json=wrong)
    assert response.status_code == 500
    assert response.json() == {"error": 'option "temperature" must be of type float32'}


def test_a_kept_connection_that_the_engine_has_closed_is_no_failure(client: httpx.Client) -> None:
    known: set[int] = set()

    def answer(asked: Asked) -> Said:
        is_kept = asked.port in known
        known.add(asked.port)
        message = {"role": "assistant", "content": SAID}
        return Said({"model": "m", "message": message, "done": True}, hangs_up=is_kept)

    with serving(answer) as server:
        an_engine("closes", server.url)
        for _ in range(4):
            response = client.post(OLLAMA_CHAT, json=body(OLLAMA_CHAT, stream=False))
            assert (response.status_code, response.json()["message"]["content"]) == (200, SAID)


def test_the_models_are_listed_for_each_kind_of_client(client: httpx.Client) -> None:
    an_engine("fast", models=("llama3:8b", "phi:latest"))
    an_engine("slow", models=("llama3:8b",))
    assert [one["id"] for one in client.get("/v1/models").json()["data"]] == ["llama3:8b", "phi:latest"]
    assert client.get("/v1/models/phi").json()["id"] == "phi:latest"
    assert client.get("/v1/models/org/none").status_code == 404
    assert [one["name"] for one in client.get("/api/tags").json()["models"]] == ["llama3:8b", "phi:latest"]
    assert client.get("/api/version").json()["version"]
    first = client.get("/api/models").json()["models"][0]
    assert (first["resident"], [node["name"] for node in first["nodes"]]) == (True, ["fast", "slow"])
    assert client.post("/api/show", json={"model": "phi"}).json()["capabilities"] == ["completion"]
    EngineModel.objects.filter(name="phi:latest").update(abilities="completion,vision")
    an_engine("other", models=("phi:latest",), kind="openai")
    shown = client.post("/api/show", json={"model": "phi"}).json()["capabilities"]
    assert shown == ["completion", "vision", "tools"]
    assert client.post("/api/pull", json={"model": "phi"}).status_code == 501
