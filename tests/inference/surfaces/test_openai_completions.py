"""OpenAI's plain completions as clients speak them, and as another dialect's engine answers them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dpl_site.lib.refusals import Refused
from inference.dialects.deltas import Delta, Usage, Whole
from inference.dialects.ollama import OllamaDialect
from inference.dialects.openai import OpenAIDialect
from inference.errors import RequestRefused
from inference.surfaces.openai_completions import OpenAICompletions
from tests.inference.surfaces.test_openai import events

SURFACE = OpenAICompletions()


def raw(**body: Any) -> bytes:
    return json.dumps({"model": "m", "prompt": "Once"} | body).encode()


def test_a_request_passes_as_it_came_to_an_openai_engine() -> None:
    asked = SURFACE.read(raw(stream=True, suffix="end", best_of=2))
    call = SURFACE.own_call(asked, "m", wants_stream=True)
    assert (call.path, call.body) == ("/v1/completions", asked.raw)


@pytest.mark.parametrize("prompt", [None, 3, [], {}])
def test_a_request_without_a_prompt_is_refused(prompt: Any) -> None:
    with pytest.raises(Refused, match="prompt must be a text"):
        SURFACE.read(raw(prompt=prompt))


def test_ollama_is_asked_to_go_on_with_the_text() -> None:
    asked = SURFACE.read(raw(prompt=["Once"], suffix="end", max_tokens=5, echo=False))
    call = OllamaDialect().generation(SURFACE.generation(asked, "m:latest"))
    assert call.path == "/api/generate"
    assert json.loads(call.body) == {
        "model": "m:latest",
        "prompt": "Once",
        "suffix": "end",
        "stream": True,
        "options": {"num_predict": 5},
    }


@pytest.mark.parametrize("prompt", [["a", "b"], [1, 2], [[1]]])
def test_what_ollama_cannot_take_is_refused_in_words(prompt: Any) -> None:
    with pytest.raises(RequestRefused, match="one prompt"):
        SURFACE.generation(SURFACE.read(raw(prompt=prompt)), "m")


def test_the_answer_is_written_in_chunks_with_usage_where_it_is_asked_for() -> None:
    writer = SURFACE.writer(SURFACE.read(raw(stream_options={"include_usage": True})), "m", "r1")
    assert writer.piece(Delta()) == b""
    said = events(
        writer.piece(Delta(text=" upon")) + writer.piece(Delta(finish_reason="stop", usage=Usage(2, 3)))
    )
    assert [chunk["choices"][0]["text"] for chunk in said] == [" upon", ""]
    assert said[-1]["choices"][0]["finish_reason"] == "stop"
    assert {chunk["object"] for chunk in said} == {"text_completion"}
    last, done = events(writer.end())
    assert (last["usage"]["total_tokens"], last["choices"], done) == (5, [], "[DONE]")


def test_or_as_one_completion() -> None:
    answer = Whole(text=["Once", " upon"], finish_reason="length", usage=Usage(2, 3))
    said = json.loads(SURFACE.writer(SURFACE.read(raw()), "m", "r1").whole(answer))
    assert said["choices"] == [{"index": 0, "text": "Once upon", "logprobs": None, "finish_reason": "length"}]


def test_an_engines_stream_is_put_together_for_a_client_that_wants_none() -> None:
    collector = OpenAIDialect().collector(1000)
    for text, reason in (("Once", None), (" upon", "stop")):
        chunk = {
            "id": "c",
            "object": "text_completion",
            "choices": [{"index": 0, "text": text, "finish_reason": reason}],
        }
        collector.feed(b"data: " + json.dumps(chunk).encode() + b"\n\n")
    collector.feed(
        b'data: {"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}\n\ndata: [DONE]\n\n'
    )
    reply = collector.finish()
    said = json.loads(reply.json)
    assert (reply.text, reply.completion_tokens, said["object"]) == ("Once upon", 2, "text_completion")
    assert said["choices"][0]["text"] == "Once upon"
