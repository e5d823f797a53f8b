"""Contexts: what is loaded stays loaded, whatever smaller one is asked for."""

from __future__ import annotations

import json
from typing import Any

import pytest

from inference.dialects.base import Generation
from inference.dialects.ollama import OllamaDialect
from inference.dialects.ollama_words import in_context, wanted_context
from inference.dialects.openai import OpenAIDialect
from inference.surfaces.embeddings import OllamaEmbed
from inference.surfaces.ollama import OllamaChat


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({}, 8192),
        ({"num_ctx": 2048}, 8192),
        ({"num_ctx": 8192}, 8192),
        ({"num_ctx": 32768}, 32768),
        ({"num_ctx": None}, 8192),
    ],
)
def test_a_request_that_fits_takes_what_is_loaded(options: dict[str, Any], told: int) -> None:
    body = {"model": "m", "options": options | {"seed": 1}}
    changed = body | in_context(body, 8192)
    assert changed["options"] == {"num_ctx": told, "seed": 1}


def test_what_is_loaded_is_not_known_or_the_options_are_none() -> None:
    assert in_context({"options": {"num_ctx": 2048}}, 0) == {}
    assert in_context({"options": [1]}, 8192) == {}
    assert in_context({}, 8192) == {"options": {"num_ctx": 8192}}


def test_every_way_to_an_ollama_keeps_it() -> None:
    chat = OllamaChat()
    asked = chat.read(b'{"model":"m","messages":[{"role":"user","content":"a"}]}')
    embed = OllamaEmbed()
    calls = [
        chat.own_call(asked, "m", wants_stream=True, context=8192),
        embed.own_call(embed.read(b'{"model":"m","input":"a"}'), "m", context=8192),
        OllamaDialect().generation(Generation("m", [{"role": "user", "content": "a"}], context=8192)),
    ]
    for call in calls:
        assert json.loads(call.body)["options"] == {"num_ctx": 8192}


def test_other_engines_hear_nothing_of_it() -> None:
    call = OpenAIDialect().generation(Generation("m", [], context=8192))
    assert "8192" not in call.body.decode()


def test_a_request_that_already_says_it_passes_as_it_came() -> None:
    chat = OllamaChat()
    asked = chat.read(b'{"model":"m", "messages":[], "options":{"num_ctx":8192}}')
    assert chat.own_call(asked, "m", wants_stream=True, context=8192).body == asked.raw


@pytest.mark.parametrize("options", [None, [], {"num_ctx": "8192"}, {"num_ctx": True}, {"num_ctx": -1}])
def test_what_is_no_context_asks_for_none(options: Any) -> None:
    assert wanted_context({"options": options}) == 0
