"""Ollama's chat and generate as clients speak them: what is read, and how another dialect's answer is written."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dpl_site.lib.refusals import Refused
from inference.dialects.deltas import CallPart, Delta, Usage, Whole
from inference.surfaces.base import Surface
from inference.surfaces.ollama import OllamaChat, OllamaGenerate

CHAT, GENERATE = OllamaChat(), OllamaGenerate()
HELLO = [{"role": "user", "content": "hello"}]


def read(surface: Surface, **body: Any) -> Any:
    return surface.read(json.dumps(body).encode())


def lines(data: bytes) -> list[Any]:
    return [json.loads(line) for line in data.splitlines()]


def test_it_streams_unless_it_is_told_not_to() -> None:
    assert read(CHAT, model="m").wants_stream
    assert not read(GENERATE, model="m", stream=False).wants_stream


def test_options_become_openais_names_and_what_only_ollama_has_is_left_out() -> None:
    options = {"num_predict": 5, "temperature": 0, "num_ctx": 4096, "stop": ["x"]}
    asked = read(
        CHAT, model="m", messages=HELLO, options=options, format="json", keep_alive="5m", tools=[{"a": 1}]
    )
    assert CHAT.generation(asked, "m").sampling == {
        "max_tokens": 5,
        "temperature": 0,
        "stop": ["x"],
        "tools": [{"a": 1}],
        "response_format": {"type": "json_object"},
    }


def test_a_schema_stays_a_schema() -> None:
    asked = read(CHAT, model="m", messages=HELLO, format={"type": "object"})
    wanted = {"type": "json_schema", "json_schema": {"name": "answer", "schema": {"type": "object"}}}
    assert CHAT.generation(asked, "m").sampling["response_format"] == wanted


def test_results_of_tools_get_the_ids_of_the_calls_that_they_answer() -> None:
    calls: list[Any] = [{"function": {"name": name, "arguments": {}}} for name in ("look", "listen")]
    results = [{"role": "tool", "content": name, "tool_name": name} for name in ("look", "listen")]
    messages = [{"role": "assistant", "content": "", "tool_calls": calls}, *results]
    made = CHAT.generation(read(CHAT, model="m", messages=messages), "m").messages
    ids = [call["id"] for call in made[0]["tool_calls"]]
    assert [one["tool_call_id"] for one in made[1:]] == ids
    assert len(set(ids)) == 2


@pytest.mark.parametrize("surface", [CHAT, GENERATE])
def test_who_only_wants_a_model_loaded_costs_another_engine_one_token(surface: Surface) -> None:
    asked = read(surface, model="m")
    generation = surface.generation(asked, "m")
    assert (len(generation.messages), generation.sampling) == (1, {"max_tokens": 1})
    writer = surface.writer(asked, "m", "r")
    assert writer.piece(Delta(text="Hi", finish_reason="length")) == b""
    for told in (*lines(writer.end()), json.loads(writer.whole(Whole(text=["Hi"])))):
        assert (told["done"], told["done_reason"]) == (True, "load")
        assert "Hi" not in str(told)


def test_likelihoods_stand_beside_the_message_in_a_stream_and_in_a_whole_answer() -> None:
    likely = {"token": "a", "logprob": -0.5, "top_logprobs": []}
    writer = CHAT.writer(read(CHAT, model="m", messages=HELLO), "m", "r")
    assert lines(writer.piece(Delta(text="a", logprobs=(likely,))))[0]["logprobs"] == [likely]
    whole = Whole()
    whole.add(Delta(text="a", logprobs=(likely,), finish_reason="stop"))
    assert json.loads(writer.whole(whole))["logprobs"] == [likely]


def test_pictures_become_parts_and_tool_calls_json_text() -> None:
    call = {"function": {"name": "look", "arguments": {"a": 1}}}
    messages = [
        {"role": "user", "content": "see", "images": ["aGk="]},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": "9", "tool_name": "look"},
    ]
    made = CHAT.generation(read(CHAT, model="m", messages=messages), "m").messages
    assert made[0]["content"] == [
        {"type": "text", "text": "see"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}},
    ]
    assert made[1]["tool_calls"][0]["function"] == {"name": "look", "arguments": '{"a":1}'}
    assert made[2] == {"role": "tool", "content": "9", "tool_call_id": "call_0"}


def test_a_prompt_becomes_the_users_message_after_the_systems() -> None:
    asked = read(GENERATE, model="m", prompt="hello", system="be brief")
    assert GENERATE.generation(asked, "m").messages == [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "hello"},
    ]


@pytest.mark.parametrize("body", [{"prompt": 3}, {"stream": "no"}, {"model": {}}])
def test_what_makes_no_sense_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(Refused):
        read(GENERATE, **body)


def test_pieces_become_lines_and_tool_calls_come_whole_before_the_last() -> None:
    writer = CHAT.writer(read(CHAT, model="mine", messages=HELLO), "m", "x")
    said = writer.piece(Delta(text="hel")) + writer.piece(Delta(thinking="hm"))
    said += writer.piece(Delta(calls=(CallPart(0, "c1", "look", '{"a"'),)))
    said += writer.piece(Delta(calls=(CallPart(0, arguments=":1}"),), finish_reason="tool_calls"))
    said += writer.piece(Delta(usage=Usage(3, 4))) + writer.end()
    found = lines(said)
    assert [line["done"] for line in found] == [False, False, False, True]
    assert found[0]["message"] == {"role": "assistant", "content": "hel"}
    assert found[1]["message"]["thinking"] == "hm"
    assert found[2]["message"]["tool_calls"] == [
        {"id": "c1", "function": {"name": "look", "arguments": {"a": 1}}}
    ]
    last = found[3]
    assert (last["done_reason"], last["prompt_eval_count"], last["eval_count"]) == ("stop", 3, 4)
    assert {line["model"] for line in found} == {"mine"}


def test_a_whole_answer_of_generate_has_its_text_as_response() -> None:
    answer = Whole()
    answer.add(Delta(text="hel"))
    answer.add(Delta(text="lo", finish_reason="length"))
    made = json.loads(GENERATE.writer(read(GENERATE, model="m", prompt="hi"), "m", "x").whole(answer))
    assert (made["response"], made["done"], made["done_reason"]) == ("hello", True, "length")


def test_a_stream_without_its_end_is_told_apart() -> None:
    assert CHAT.ends(b'{"done": true, "done_reason":"stop"}\n')
    assert not CHAT.ends(b'{"message":{"content":"a"},"done":false}\n')
