"""The simulator as llama.cpp's server: fields and their order, headers, statuses and words of the real one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.agent.talk import ask
from tests.machines import engine

USER = {"role": "user", "content": "Say <b>hello</b> 你好 🙂"}
CHAT: dict[str, Any] = {"model": "tiny", "messages": [USER]}
PATH = "/v1/chat/completions"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with engine(dialect="openai", models=("tiny", "embed"), echo=True, slots=3, ctx=512) as url:
        yield url


def test_a_stream_begins_with_the_role_and_ends_with_done(server: str) -> None:
    answer = ask(server, PATH, {**CHAT, "stream": True})
    *events, done = answer.events()
    assert done == "[DONE]"
    assert answer.headers["content-type"] == "text/event-stream"
    assert answer.headers["server"] == "llama.cpp"
    assert answer.headers["x-accel-buffering"] == "no"
    assert list(events[0]) == ["choices", "created", "id", "model", "system_fingerprint", "object"]
    assert events[0]["choices"] == [
        {"finish_reason": None, "index": 0, "delta": {"role": "assistant", "content": None}}
    ]
    assert "".join(event["choices"][0]["delta"].get("content") or "" for event in events) == USER["content"]
    assert events[-1]["choices"] == [{"finish_reason": "stop", "index": 0, "delta": {}}]
    assert events[-1]["timings"]["predicted_n"] == len(events) - 2
    assert len({event["id"] for event in events}) == 1


def test_the_usage_comes_in_an_event_of_its_own_and_takes_the_timings_along(server: str) -> None:
    body = {**CHAT, "stream": True, "stream_options": {"include_usage": True}}
    *_, last, usage, done = ask(server, PATH, body).events()
    assert done == "[DONE]"
    assert last["choices"] == [{"finish_reason": "stop", "index": 0, "delta": {}}]
    assert "timings" not in last
    assert (usage["choices"], list(usage)[-2:]) == ([], ["usage", "timings"])
    assert usage["usage"]["prompt_tokens_details"] == {"cached_tokens": 0}


def test_an_answer_in_one_piece(server: str) -> None:
    answer = ask(server, PATH, CHAT)
    body = answer.json()
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    assert answer.headers["keep-alive"] == "timeout=5, max=100"
    keys = ["choices", "created", "model", "system_fingerprint", "object", "usage", "id", "timings"]
    assert list(body) == keys
    assert body["choices"][0]["message"] == {"role": "assistant", "content": USER["content"]}
    assert body["choices"][0]["finish_reason"] == "stop"
    assert (
        body["usage"]["total_tokens"] == body["usage"]["prompt_tokens"] + body["usage"]["completion_tokens"]
    )


def test_a_model_it_does_not_know_is_served_silently_by_its_own(server: str) -> None:
    assert ask(server, PATH, {**CHAT, "model": "gpt-9"}).json()["model"] == "tiny"


def test_completions(server: str) -> None:
    body = ask(server, "/v1/completions", {"prompt": "one two"}).json()
    assert (body["object"], body["choices"][0]["text"]) == ("text_completion", "one two")
    *events, done = ask(server, "/v1/completions", {"prompt": ["one two"], "stream": True}).events()
    assert done == "[DONE]"
    assert "".join(event["choices"][0]["text"] for event in events) == "one two"
    assert events[-1]["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize("limit", ["max_tokens", "max_completion_tokens", "n_predict"])
def test_a_limit_ends_a_reply_for_its_length(limit: str) -> None:
    with engine(dialect="openai", words=9) as url:
        choice = ask(url, PATH, {**CHAT, limit: 2}).json()["choices"][0]
    assert (choice["message"]["content"], choice["finish_reason"]) == ("a machine", "length")


def test_an_overflow_says_by_how_much(server: str) -> None:
    answer = ask(server, PATH, {"messages": [{"role": "user", "content": "word " * 2000}]})
    assert answer.status == 400
    assert answer.headers["connection"] == "close"
    assert answer.json() == {
        "error": {
            "code": 400,
            "message": "request (2504 tokens) exceeds the available context size (512 tokens), try increasing it",
            "type": "exceed_context_size_error",
            "n_prompt_tokens": 2504,
            "n_ctx": 512,
        }
    }


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "message", "kind"),
    [
        ("POST", "/nope", b"{}", 404, "File Not Found", "not_found_error"),
        ("DELETE", PATH, None, 404, "File Not Found", "not_found_error"),
        ("GET", "/api/tags", None, 404, "File Not Found", "not_found_error"),
        ("POST", PATH, b"{}", 400, "'messages' is required", "invalid_request_error"),
        ("POST", "/v1/completions", b"{}", 400, '"prompt" is required', "invalid_request_error"),
    ],
)
def test_it_refuses_in_its_own_words(
    server: str, method: str, path: str, body: bytes | None, status: int, message: str, kind: str
) -> None:
    answer = ask(server, path, body, method=method)
    assert answer.status == status
    assert answer.json() == {"error": {"message": message, "type": kind, "code": status}}
    assert answer.headers["connection"] == "close"


def test_bad_json_is_a_parse_error(server: str) -> None:
    error = ask(server, PATH, b"{").json()["error"]
    assert (error["code"], error["type"]) == (400, "invalid_request_error")
    assert error["message"].startswith("[json.exception.parse_error.101]")


def test_it_tells_of_itself(server: str) -> None:
    assert ask(server, "/health").json() == {"status": "ok"}
    assert [row["id"] for row in ask(server, "/v1/models").json()["data"]] == ["tiny", "embed"]
    assert ask(server, "/props").json()["total_slots"] == 3
    slots = ask(server, "/slots").json()
    assert [(slot["id"], slot["n_ctx"], slot["is_processing"]) for slot in slots] == [
        (place, 512, False) for place in range(3)
    ]


def test_embeddings_come_from_embedders_only(server: str) -> None:
    body = ask(server, "/v1/embeddings", {"model": "embed", "input": ["one", "two"]}).json()
    assert list(body) == ["model", "object", "usage", "data"]
    assert [row["index"] for row in body["data"]] == [0, 1]
    refused = ask(server, "/v1/embeddings", {"model": "tiny", "input": "one"})
    assert (refused.status, refused.json()["error"]["type"]) == (501, "not_supported_error")


def test_a_key_is_wanted_everywhere_but_for_health() -> None:
    with engine(dialect="openai", api_key="k", echo=True) as url:
        refused = ask(url, PATH, CHAT)
        assert refused.status == 401
        assert refused.json() == {
            "error": {"message": "Invalid API Key", "type": "authentication_error", "code": 401}
        }
        assert ask(url, "/v1/models").status == 401
        assert ask(url, "/health").status == 200
        assert ask(url, PATH, CHAT, headers={"Authorization": "Bearer k"}).status == 200


def test_a_server_that_still_loads_says_so() -> None:
    with engine(dialect="openai", load_s=0.2, echo=True) as url:
        loading = {"error": {"message": "Loading model", "type": "unavailable_error", "code": 503}}
        for path, body in (("/health", None), (PATH, CHAT)):
            answer = ask(url, path, body)
            assert (answer.status, answer.json()) == (503, loading)
        time.sleep(0.2)
        assert ask(url, "/health").status == 200
        assert ask(url, PATH, CHAT).status == 200
