"""The simulator as an Ollama: fields and their order, types, statuses and words of the real one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.agent.talk import ask, dialled, post, to_end
from tests.machines import engine

USER = {"role": "user", "content": "Say <b>hello</b> & 你好 🙂\n\ttwice"}
CHAT: dict[str, Any] = {"model": "llama3:8b", "messages": [USER]}
TIMES = [
    "total_duration",
    "load_duration",
    "prompt_eval_count",
    "prompt_eval_duration",
    "eval_count",
    "eval_duration",
]


@pytest.fixture(scope="module")
def echoing() -> Iterator[str]:
    with engine(models=("llama3:8b", "nomic-embed-text"), echo=True) as url:
        yield url


@pytest.fixture
def talking() -> Iterator[str]:
    with engine(models=("llama3:8b", "qwen2"), words=6) as url:
        yield url


def test_a_chat_streams_lines_and_ends_with_its_counts(echoing: str) -> None:
    answer = ask(echoing, "/api/chat", CHAT)
    *tokens, last = answer.lines()
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert answer.headers["transfer-encoding"] == "chunked"
    assert "".join(line["message"]["content"] for line in tokens) == USER["content"]
    assert len(tokens) > 5
    assert all(list(line) == ["model", "created_at", "message", "done"] for line in tokens)
    assert list(last) == ["model", "created_at", "message", "done", "done_reason", *TIMES]
    assert (last["done"], last["done_reason"], last["message"]["content"]) == (True, "stop", "")
    assert last["eval_count"] == len(tokens)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z", last["created_at"])


def test_every_line_of_a_stream_is_a_chunk_of_its_own(echoing: str) -> None:
    with dialled(echoing, post("/api/chat", CHAT, "Connection: close")) as connection:
        raw = to_end(connection)
    body = raw.partition(b"\r\n\r\n")[2]
    sizes = [len(part) for part in re.findall(rb"[0-9a-f]+\r\n(\{.*?\}\n)\r\n", body)]
    assert len(sizes) == body.count(b'"done":')
    assert body.endswith(b"\r\n0\r\n\r\n")


def test_a_chat_in_one_piece_has_everything(echoing: str) -> None:
    answer = ask(echoing, "/api/chat", {**CHAT, "stream": False})
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    assert list(answer.headers) == ["content-type", "date", "content-length"]
    assert list(answer.json()) == ["model", "created_at", "message", "done", "done_reason", *TIMES]
    assert answer.json()["message"] == {"role": "assistant", "content": USER["content"]}
    assert rb"Say \u003cb\u003ehello" in answer.body


def test_a_long_answer_comes_in_chunks_as_gos_server_sends_it(echoing: str) -> None:
    long = {"model": "llama3:8b", "prompt": "x" * 5000, "stream": False}
    answer = ask(echoing, "/api/generate", long)
    assert "content-length" not in answer.headers
    assert answer.json()["response"] == long["prompt"]


def test_generate_streams_responses_with_a_context_unless_raw(echoing: str) -> None:
    *tokens, last = ask(echoing, "/api/generate", {"model": "llama3:8b", "prompt": "one two three"}).lines()
    assert "".join(line["response"] for line in tokens) == "one two three"
    assert all(list(line) == ["model", "created_at", "response", "done"] for line in tokens)
    assert list(last) == ["model", "created_at", "response", "done", "done_reason", "context", *TIMES]
    raw = ask(echoing, "/api/generate", {"model": "llama3:8b", "prompt": "x", "raw": True, "stream": False})
    assert "context" not in raw.json()


@pytest.mark.parametrize("text", ["", " ", "\n\n", "a", "\u0000x", "\ud83d", "é" * 3000, "\u2028", '"\\'])
@pytest.mark.parametrize("stream", [True, False])
def test_an_echo_is_exact_whatever_the_text(echoing: str, text: str, stream: bool) -> None:
    body = {"model": "llama3:8b", "stream": stream, "messages": [{"role": "user", "content": text}]}
    lines = ask(echoing, "/api/chat", body).lines()
    assert "".join(line["message"]["content"] for line in lines) == text
    assert lines[-1]["done"] is True


def test_a_reply_is_cut_at_num_predict_and_says_so(talking: str) -> None:
    last = ask(talking, "/api/chat", {**CHAT, "options": {"num_predict": 2}}).lines()[-1]
    assert (last["done_reason"], last["eval_count"]) == ("length", 2)
    last = ask(talking, "/api/chat", CHAT).lines()[-1]
    assert (last["done_reason"], last["eval_count"]) == ("stop", 6)


def test_a_warm_up_loads_and_a_keep_alive_of_nothing_unloads(talking: str) -> None:
    assert ask(talking, "/api/ps").json() == {"models": []}
    warm = ask(talking, "/api/generate", {"model": "qwen2", "keep_alive": "90s"})
    assert warm.headers["content-type"] == "application/json; charset=utf-8"
    assert list(warm.json()) == ["model", "created_at", "response", "done", "done_reason"]
    assert (warm.json()["model"], warm.json()["done_reason"]) == ("qwen2", "load")
    row = ask(talking, "/api/ps").json()["models"][0]
    assert row["name"] == "qwen2:latest"
    assert list(row) == [
        "name",
        "model",
        "size",
        "digest",
        "details",
        "expires_at",
        "size_vram",
        "context_length",
    ]
    assert row["size_vram"] == row["size"] > 0
    gone = ask(talking, "/api/chat", {"model": "qwen2", "messages": [], "keep_alive": 0}).json()
    assert (gone["message"], gone["done"], gone["done_reason"]) == (
        {"role": "assistant", "content": ""},
        True,
        "unload",
    )
    assert ask(talking, "/api/ps").json() == {"models": []}
    assert (
        ask(talking, "/api/generate", {"model": "qwen2", "keep_alive": 0}).json()["done_reason"] == "unload"
    )


def test_a_request_makes_its_model_resident_for_as_long_as_it_says(talking: str) -> None:
    ask(talking, "/api/chat", {**CHAT, "keep_alive": -1})
    assert ask(talking, "/api/ps").json()["models"][0]["expires_at"] > "2300"
    ask(talking, "/api/chat", {**CHAT, "keep_alive": 0})
    assert ask(talking, "/api/ps").json() == {"models": []}


def test_it_lists_and_shows_its_models(echoing: str) -> None:
    rows = ask(echoing, "/api/tags").json()["models"]
    assert [row["name"] for row in rows] == ["llama3:8b", "nomic-embed-text:latest"]
    assert list(rows[0]) == ["name", "model", "modified_at", "size", "digest", "details", "capabilities"]
    assert [row["capabilities"] for row in rows] == [["completion"], ["embedding"]]
    shown = ask(echoing, "/api/show", {"model": "llama3:8b"}).json()
    assert shown["details"]["parameter_size"] == "8B"
    assert shown["capabilities"] == ["completion"]
    assert ask(echoing, "/api/version").json() == {"version": "0.33.0"}


@pytest.mark.parametrize(
    ("path", "body", "status", "error"),
    [
        ("/api/chat", {"model": "nope", "messages": []}, 404, "model 'nope' not found"),
        ("/api/chat", {"messages": []}, 400, "model is required"),
        ("/api/chat", b'{"model":', 400, "unexpected EOF"),
        ("/api/chat", b"", 400, "missing request body"),
        (
            "/api/chat",
            {"model": "llama3:8b", "messages": "x"},
            400,
            "json: cannot unmarshal string into Go struct field ChatRequest.messages of type []api.Message",
        ),
        ("/api/chat", {**CHAT, "keep_alive": "zz"}, 400, 'time: invalid duration "zz"'),
        ("/api/chat", {**CHAT, "options": {"seed": "x"}}, 500, 'option "seed" must be of type integer'),
        ("/api/chat", {**CHAT, "think": True}, 400, '"llama3:8b" does not support thinking'),
        (
            "/api/chat",
            {**CHAT, "tools": [{}]},
            400,
            "registry.ollama.ai/library/llama3:8b does not support tools",
        ),
        (
            "/api/chat",
            {**CHAT, "format": "xml"},
            500,
            'invalid format: "\\"xml\\""; expected "json" or a valid JSON Schema object',
        ),
        ("/api/chat", {**CHAT, "model": "nomic-embed-text"}, 400, '"nomic-embed-text" does not support chat'),
        ("/api/generate", {"model": "nope", "prompt": "x"}, 404, "model 'nope' not found"),
        ("/api/show", {"model": "nope"}, 404, "model 'nope:latest' not found"),
        ("/api/embed", {"model": "nope"}, 404, 'model "nope" not found, try pulling it first'),
        (
            "/api/embed",
            {"model": "llama3:8b", "input": "x"},
            501,
            "This server does not support embeddings. Start it with `--embeddings`",
        ),
    ],
)
def test_it_refuses_in_ollamas_words(echoing: str, path: str, body: object, status: int, error: str) -> None:
    answer = ask(echoing, path, body)
    assert (answer.status, answer.json()) == (status, {"error": error})
    assert answer.headers["content-type"] == "application/json; charset=utf-8"


def test_images_are_refused_with_an_error_in_the_error(echoing: str) -> None:
    body = {"model": "llama3:8b", "messages": [{"role": "user", "content": "x", "images": ["aGk="]}]}
    assert '"message":"Multimodal data provided' in ask(echoing, "/api/chat", body).json()["error"]


@pytest.mark.parametrize(
    ("method", "path", "status", "allow", "text"),
    [
        ("GET", "/", 200, None, b"Ollama is running"),
        ("HEAD", "/", 200, None, b""),
        ("HEAD", "/api/tags", 200, None, b""),
        ("GET", "/nope", 404, None, b"404 page not found"),
        ("POST", "/v1/nope", 404, None, b"404 page not found"),
        ("GET", "/api/chat", 405, "POST", b"405 method not allowed"),
        ("DELETE", "/api/tags", 405, "HEAD, GET", b"405 method not allowed"),
        ("GET", "/v1/chat/completions", 405, "POST", b"405 method not allowed"),
    ],
)
def test_paths_and_methods_are_gos(
    echoing: str, method: str, path: str, status: int, allow: str | None, text: bytes
) -> None:
    answer = ask(echoing, path, method=method)
    assert (answer.status, answer.headers.get("allow"), answer.body) == (status, allow, text)
    assert method == "HEAD" or answer.headers["content-type"].startswith("text/plain")


def test_a_proxy_must_not_pass_its_own_host_on(echoing: str) -> None:
    answer = ask(echoing, "/api/tags", headers={"Host": "llm.example.com"})
    assert (answer.status, answer.body) == (403, b"")


def test_embeddings_are_unit_vectors_and_the_same_each_time(echoing: str) -> None:
    body = {"model": "nomic-embed-text", "input": ["one", "two"]}
    answer = ask(echoing, "/api/embed", body).json()
    assert list(answer) == ["model", "embeddings", "total_duration", "load_duration", "prompt_eval_count"]
    assert answer["embeddings"] == ask(echoing, "/api/embed", body).json()["embeddings"]
    assert all(sum(value**2 for value in vector) == pytest.approx(1) for vector in answer["embeddings"])
    short = ask(echoing, "/api/embed", {**body, "dimensions": 8}).json()["embeddings"][0]
    assert len(short) == 8
    assert sum(value**2 for value in short) == pytest.approx(1)
    old = ask(echoing, "/api/embeddings", {"model": "nomic-embed-text", "prompt": "one"}).json()
    assert old == {"embedding": answer["embeddings"][0]}
    assert ask(echoing, "/api/embed", {"model": "nomic-embed-text"}).json() == {
        "model": "nomic-embed-text",
        "embeddings": [],
    }


@pytest.mark.parametrize(
    ("status", "kind"), [(404, "text/plain"), (405, "text/plain"), (501, "application/json")]
)
def test_an_engine_without_chat_still_generates(status: int, kind: str) -> None:
    with engine(no_chat=status, echo=True) as url:
        answer = ask(url, "/api/chat", CHAT)
        assert answer.status == status
        assert answer.headers["content-type"].startswith(kind)
        assert (
            ask(url, "/api/generate", {"model": "llama3:8b", "prompt": "x", "stream": False}).json()[
                "response"
            ]
            == "x"
        )


def test_a_prompt_that_does_not_fit_is_cut_silently_unless_that_is_forbidden() -> None:
    with engine(ctx=64) as url:
        body = {"model": "llama3:8b", "prompt": "word " * 200, "stream": False}
        assert ask(url, "/api/generate", body).json()["prompt_eval_count"] == 32
        refused = ask(url, "/api/generate", {**body, "truncate": False})
        assert refused.status == 400
        assert '"type":"exceed_context_size_error","n_prompt_tokens":' in refused.json()["error"]


def test_v1_streams_events_with_the_role_first_and_done_last(echoing: str) -> None:
    answer = ask(echoing, "/v1/chat/completions", {**CHAT, "stream": True})
    *events, done = answer.events()
    assert answer.headers["content-type"] == "text/event-stream"
    assert done == "[DONE]"
    assert events[0]["choices"][0]["delta"]["role"] == "assistant"
    assert "role" not in events[1]["choices"][0]["delta"]
    assert "".join(event["choices"][0]["delta"].get("content", "") for event in events) == USER["content"]
    assert events[-1]["choices"] == [{"index": 0, "delta": {}, "finish_reason": "stop"}]
    assert list(events[0]) == ["id", "object", "created", "model", "system_fingerprint", "choices"]
    assert re.fullmatch(r"chatcmpl-\d{1,3}", events[0]["id"])


def test_v1_adds_the_usage_where_it_is_asked_for(echoing: str) -> None:
    body = {**CHAT, "stream": True, "stream_options": {"include_usage": True}}
    events = ask(echoing, "/v1/chat/completions", body).events()
    assert events[-1] == "[DONE]"
    assert events[-2]["choices"] == []
    assert events[-2]["usage"]["completion_tokens"] == len(events) - 3


def test_v1_in_one_piece(talking: str) -> None:
    answer = ask(talking, "/v1/chat/completions", {**CHAT, "max_tokens": 2})
    body = answer.json()
    assert answer.headers["content-type"] == "application/json"
    assert list(body) == ["id", "object", "created", "model", "system_fingerprint", "choices", "usage"]
    assert body["choices"] == [
        {"index": 0, "message": {"role": "assistant", "content": "a machine"}, "finish_reason": "length"}
    ]
    assert body["usage"]["completion_tokens"] == 2
    old = ask(talking, "/v1/completions", {"model": "qwen2", "prompt": "x", "max_tokens": 2}).json()
    assert (old["object"], old["choices"]) == (
        "text_completion",
        [{"text": "a machine", "index": 0, "finish_reason": "length"}],
    )


@pytest.mark.parametrize(
    ("body", "status", "message", "kind"),
    [
        (b"{", 400, "unexpected EOF", "invalid_request_error"),
        ({"model": "llama3:8b"}, 400, "[] is too short - 'messages'", "invalid_request_error"),
        ({**CHAT, "model": "nope"}, 404, "model 'nope' not found", "not_found_error"),
    ],
)
def test_v1_refuses_in_openais_shape(
    echoing: str, body: object, status: int, message: str, kind: str
) -> None:
    answer = ask(echoing, "/v1/chat/completions", body)
    assert answer.status == status
    assert answer.json() == {"error": {"message": message, "type": kind, "param": None, "code": None}}


def test_v1_lists_models(echoing: str) -> None:
    rows = ask(echoing, "/v1/models").json()["data"]
    assert [row["id"] for row in rows] == ["llama3:8b", "nomic-embed-text:latest"]
    assert list(rows[0]) == ["id", "object", "created", "owned_by"]
    assert ask(echoing, "/v1/models/nomic-embed-text").json()["id"] == "nomic-embed-text"
    assert ask(echoing, "/v1/models/llama3%3A8b").status == 200
    assert ask(echoing, "/v1/models/nope").json()["error"]["message"] == "model 'nope:latest' not found"


def test_v1_makes_embeddings(echoing: str) -> None:
    body = {"model": "nomic-embed-text", "input": ["one", "two"]}
    answer = ask(echoing, "/v1/embeddings", body).json()
    native = ask(echoing, "/api/embed", body).json()["embeddings"]
    assert [row["embedding"] for row in answer["data"]] == native
