"""The simulator as an Ollama whose models can more than talk: they call tools, think, and tell so."""

from __future__ import annotations

import array
import base64
from collections.abc import Iterator

import pytest

from tests.agent.talk import ask
from tests.machines import engine

USER = {"role": "user", "content": "Is it raining?"}
TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"properties": {"city": {"enum": ["Oslo", "Rome"]}, "days": {"type": "integer"}}},
    },
}
ARGUMENTS = {"city": "Oslo", "days": 0}


@pytest.fixture(scope="module")
def able() -> Iterator[str]:
    with engine(models=("thinking-tools", "plain", "nomic-embed-text"), words=3) as url:
        yield url


@pytest.mark.parametrize("stream", [True, False])
def test_a_model_with_tools_calls_each_with_arguments_as_an_object(able: str, stream: bool) -> None:
    body = {"model": "thinking-tools", "messages": [USER], "tools": [TOOL], "stream": stream, "think": False}
    lines = ask(able, "/api/chat", body).lines()
    calls = [call for line in lines for call in line["message"].get("tool_calls", ())]
    assert [one["function"] for one in calls] == [{"index": 0, "name": "weather", "arguments": ARGUMENTS}]
    assert (lines[-1]["done_reason"], lines[-1]["eval_count"]) == ("stop", 1)


def test_it_speaks_again_when_the_tools_have_answered(able: str) -> None:
    messages = [USER, {"role": "tool", "content": "rain"}]
    body = {"model": "thinking-tools", "messages": messages, "tools": [TOOL], "stream": False}
    message = ask(able, "/api/chat", body).json()["message"]
    assert (message["content"], "tool_calls" in message) == ("a machine that", False)


@pytest.mark.parametrize("stream", [True, False])
def test_a_model_that_thinks_does_so_before_it_answers_unless_told_not_to(able: str, stream: bool) -> None:
    body = {"model": "thinking-tools", "messages": [USER], "stream": stream}
    lines = ask(able, "/api/chat", body).lines()
    assert "".join(line["message"].get("thinking", "") for line in lines) == "Let me think."
    assert "".join(line["message"]["content"] for line in lines) == "a machine that"
    quiet = ask(able, "/api/chat", body | {"think": False}).lines()
    assert not any("thinking" in line["message"] for line in quiet)


def test_a_model_without_an_ability_refuses_what_needs_it(able: str) -> None:
    for more, word in (({"tools": [TOOL]}, "tools"), ({"think": True}, "thinking")):
        for path in ("/api/chat", "/v1/chat/completions"):
            told = more if path == "/api/chat" or "tools" in more else {"reasoning_effort": "high"}
            answer = ask(able, path, {"model": "plain", "messages": [USER], **told})
            assert answer.status == 400
            assert f"does not support {word}" in str(answer.json()["error"])


def test_under_v1_thinking_is_called_reasoning_and_arguments_are_text(able: str) -> None:
    body = {"model": "thinking-tools", "messages": [USER], "tools": [TOOL]}
    choice = ask(able, "/v1/chat/completions", body).json()["choices"][0]
    assert (choice["message"]["reasoning"], choice["finish_reason"]) == ("Let me think.", "tool_calls")
    function = choice["message"]["tool_calls"][0]["function"]
    assert function == {"name": "weather", "arguments": '{"city":"Oslo","days":0}'}


def test_it_tells_what_its_models_can(able: str) -> None:
    rows = ask(able, "/api/tags").json()["models"]
    assert [row["capabilities"] for row in rows] == [
        ["completion", "tools", "thinking"],
        ["completion"],
        ["embedding"],
    ]


def test_under_v1_vectors_come_in_base64_where_asked(able: str) -> None:
    asked = {"model": "nomic-embed-text", "input": "a"}
    numbers = ask(able, "/v1/embeddings", asked).json()["data"][0]["embedding"]
    packed = ask(able, "/v1/embeddings", asked | {"encoding_format": "base64"}).json()["data"][0]
    told = array.array("f", base64.b64decode(packed["embedding"]))
    assert list(told) == pytest.approx(numbers)
