"""Streams of both kinds of engine read piece by piece, however their bytes are cut."""

from __future__ import annotations

import json
from typing import Any

import pytest

from inference.dialects.deltas import Delta, DeltaReader, Usage, Whole
from inference.dialects.ollama_deltas import OllamaDeltas
from inference.dialects.openai_deltas import OpenAIDeltas
from inference.errors import EngineFailure, InvalidReply, ReplyTooLarge, StreamCut


def event(choices: list[Any], **more: Any) -> bytes:
    return f"data: {json.dumps({'choices': choices} | more)}\n\n".encode()


def call(index: int, **function: str) -> dict[str, Any]:
    return {"index": index, "id": f"c{index}", "function": function}


OPENAI = b"".join(
    (
        event([{"index": 0, "delta": {"role": "assistant", "content": None}}]),
        event([{"index": 0, "delta": {"content": "好"}}]),
        event([{"index": 0, "delta": {"reasoning_content": "hm"}}]),
        event([{"index": 0, "delta": {"tool_calls": [call(0, name="look", arguments='{"a"')]}}]),
        event([{"index": 0, "delta": {"tool_calls": [{"index": 0, "function": {"arguments": ":1}"}}]}}]),
        event([{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]),
        event([], usage={"prompt_tokens": 3, "completion_tokens": 4}),
        b"data: [DONE]\n\n",
    )
)
OLLAMA = b"".join(
    json.dumps(line).encode() + b"\n"
    for line in (
        {"message": {"role": "assistant", "content": "好"}, "done": False},
        {"message": {"role": "assistant", "content": "", "thinking": "hm"}, "done": False},
        {"message": {"tool_calls": [{"id": "c0", "function": {"name": "look", "arguments": {"a": 1}}}]}},
        {
            "message": {"content": ""},
            "done": True,
            "done_reason": "stop",
            "prompt_eval_count": 3,
            "eval_count": 4,
        },
    )
)


@pytest.mark.parametrize(("kind", "stream"), [(OpenAIDeltas, OPENAI), (OllamaDeltas, OLLAMA)])
@pytest.mark.parametrize("step", [1, 2, 7, 10_000])
def test_both_tell_the_same_story(kind: Any, stream: bytes, step: int) -> None:
    reader: DeltaReader = kind(10_000)
    whole = Whole()
    for start in range(0, len(stream), step):
        for delta in reader.feed(stream[start : start + step]):
            whole.add(delta)
    for delta in reader.finish():
        whole.add(delta)
    assert reader.is_done
    assert ("".join(whole.text), "".join(whole.thinking)) == ("好", "hm")
    assert whole.calls == {0: {"id": "c0", "name": "look", "arguments": '{"a":1}'}}
    assert (whole.finish_reason, whole.usage) == ("tool_calls", Usage(3, 4))


def test_an_engine_that_sends_no_done_has_ended_with_its_reason() -> None:
    reader = OpenAIDeltas(1000)
    reader.feed(event([{"index": 0, "delta": {"content": "a"}, "finish_reason": "stop"}]))
    assert reader.finish() == []


@pytest.mark.parametrize(
    ("reader", "data"),
    [
        (OpenAIDeltas(1000), event([{"index": 0, "delta": {"content": "a"}}])),
        (OllamaDeltas(1000), b'{"message":{"content":"a"},"done":false}\n'),
    ],
)
def test_an_end_that_is_missing_is_a_cut(reader: DeltaReader, data: bytes) -> None:
    assert reader.feed(data)[0] == Delta(text="a")
    with pytest.raises(StreamCut):
        reader.finish()


@pytest.mark.parametrize("kind", [OpenAIDeltas, OllamaDeltas])
def test_what_the_engine_reports_in_its_stream_is_raised(kind: Any) -> None:
    said = b'{"error": "an error was encountered while running the model"}'
    with pytest.raises(EngineFailure, match="running the model"):
        kind(1000).feed(said + b"\n" if kind is OllamaDeltas else b"data: " + said + b"\n\n")


@pytest.mark.parametrize("kind", [OpenAIDeltas, OllamaDeltas])
def test_what_is_no_json_is_told(kind: Any) -> None:
    with pytest.raises(InvalidReply):
        kind(1000).feed(b"data: {oops\n\n")


@pytest.mark.parametrize("kind", [OpenAIDeltas, OllamaDeltas])
def test_a_line_without_end_is_bounded(kind: Any) -> None:
    with pytest.raises(ReplyTooLarge):
        kind(1000).feed(b"data: " + b"x" * 2000)
