"""OpenAI's chat as clients speak it: what is read, and how another dialect's answer is written."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dpl_site.lib.refusals import Refused
from inference.dialects.deltas import CallPart, Delta, Usage, Whole
from inference.surfaces.openai import OpenAIChat

SURFACE = OpenAIChat()
HELLO = [{"role": "user", "content": "hello"}]


def raw(**body: Any) -> bytes:
    return json.dumps({"messages": HELLO} | body).encode()


def events(data: bytes) -> list[Any]:
    """The data of each event."""
    lines = [line[6:] for line in data.decode().split("\n\n") if line]
    return [line if line == "[DONE]" else json.loads(line) for line in lines]


def test_a_request_passes_as_it_came_when_its_model_is_the_engines() -> None:
    asked = SURFACE.read(raw(model="m", stream=True, unknown={"kept": 1}))
    assert SURFACE.own_call(asked, "m", wants_stream=True).body == asked.raw


def test_the_engines_name_of_the_model_takes_the_place_of_auto() -> None:
    asked = SURFACE.read(raw(model="auto", unknown=1))
    assert asked.model == ""
    body = json.loads(SURFACE.own_call(asked, "llama3:8b", wants_stream=False).body)
    assert (body["model"], body["unknown"], body["messages"]) == ("llama3:8b", 1, HELLO)


def test_a_plain_request_is_streamed_from_engines_that_do_not_notice_a_leaving() -> None:
    asked = SURFACE.read(raw(model="m"))
    call = SURFACE.own_call(asked, "m", wants_stream=True)
    body = json.loads(call.body)
    assert call.is_streaming
    assert (body["stream"], body["stream_options"]) == (True, {"include_usage": True})


def test_what_is_not_said_in_every_dialect_becomes_sampling() -> None:
    asked = SURFACE.read(raw(model="m", temperature=0.1, tools=[], stream=True, stream_options={}))
    generation = SURFACE.generation(asked, "other")
    assert generation.model == "other"
    assert generation.sampling == {"temperature": 0.1, "tools": []}


@pytest.mark.parametrize("name", ["x" * 201, "a\nb", 3, ["m"]])
def test_a_model_that_is_no_name_is_refused(name: Any) -> None:
    with pytest.raises(Refused, match="name of a model"):
        SURFACE.read(raw(model=name))


def test_pieces_become_chunks_with_the_role_first_and_the_usage_last() -> None:
    asked = SURFACE.read(raw(stream=True, stream_options={"include_usage": True}))
    writer = SURFACE.writer(asked, "m", "id1")
    said = writer.piece(Delta(text="好")) + writer.piece(Delta(thinking="hm"))
    said += writer.piece(Delta(finish_reason="stop", usage=Usage(3, 4))) + writer.end()
    found = events(said)
    assert [chunk["choices"][0]["delta"] for chunk in found[:3]] == [
        {"role": "assistant", "content": "好"},
        {"reasoning_content": "hm"},
        {},
    ]
    assert found[2]["choices"][0]["finish_reason"] == "stop"
    assert found[3]["usage"] == {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
    assert found[4] == "[DONE]"
    assert {chunk["id"] for chunk in found[:4]} == {"chatcmpl-id1"}


def test_a_piece_that_holds_nothing_is_not_told() -> None:
    writer = SURFACE.writer(SURFACE.read(raw()), "m", "x")
    assert writer.piece(Delta()) == b""


def test_a_whole_answer_has_its_tool_calls_with_json_text() -> None:
    answer = Whole()
    answer.add(Delta(calls=(CallPart(0, "call_1", "look", '{"a":'),)))
    answer.add(Delta(calls=(CallPart(0, arguments="1}"),), finish_reason="tool_calls", usage=Usage(1, 2)))
    made = json.loads(SURFACE.writer(SURFACE.read(raw()), "m", "x").whole(answer))
    message = made["choices"][0]["message"]
    assert message["content"] is None
    assert message["tool_calls"] == [
        {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": '{"a":1}'}}
    ]
    assert made["choices"][0]["finish_reason"] == "tool_calls"


@pytest.mark.parametrize(
    ("tail", "is_whole"),
    [
        (b'data: {"choices":[]}\n\ndata: [DONE]\n\n', True),
        (b'data: {"choices":[{"delta":{},"finish_reason": "stop"}]}\n\n', True),
        (b'data: {"choices":[{"delta":{"content":"a"},"finish_reason":null}]}\n\n', False),
        (b"", False),
    ],
)
def test_a_stream_without_its_end_is_told_apart(tail: bytes, is_whole: bool) -> None:
    assert SURFACE.ends(tail) is is_whole


def test_an_error_in_a_stream_is_one_that_clients_raise() -> None:
    (error,) = events(SURFACE.late_error("it broke", "stream_cut", 502))
    assert error["error"]["message"] == "it broke"
