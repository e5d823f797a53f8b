"""Vectors as clients ask for them, and as another dialect's engine gives them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dpl_site.lib.refusals import Refused
from inference.dialects.embedding import EmbeddingRequest, Vectors, embedding_call, read_vectors, unpacked
from inference.errors import InvalidReply, RequestRefused
from inference.surfaces.embeddings import OllamaEmbed, OllamaEmbeddings, OpenAIEmbeddings, told_tokens

OPENAI, EMBED, OLDER = OpenAIEmbeddings(), OllamaEmbed(), OllamaEmbeddings()
TWO = Vectors([[0.5, -1.0], [0.25, 2.0]], 7)


def raw(**body: Any) -> bytes:
    return json.dumps({"model": "e"} | body).encode()


@pytest.mark.parametrize(
    ("surface", "body", "path"),
    [
        (OPENAI, raw(input=["a", "b"], user="u"), "/v1/embeddings"),
        (EMBED, raw(input=["a", "b"], keep_alive=-1), "/api/embed"),
        (OLDER, raw(prompt="a"), "/api/embeddings"),
    ],
)
def test_an_engine_of_the_dialect_gets_the_request_as_it_came(surface: Any, body: bytes, path: str) -> None:
    call = surface.own_call(surface.read(body), "e")
    assert (call.path, call.body, call.is_streaming) == (path, body, False)


def test_the_engines_name_of_the_model_takes_the_place_of_another() -> None:
    call = EMBED.own_call(EMBED.read(raw(input="a", truncate=False)), "e:latest")
    assert json.loads(call.body) == {"model": "e:latest", "input": "a", "truncate": False}


@pytest.mark.parametrize("given", ["", [], None, 3, {"text": "a"}])
def test_openais_request_without_anything_to_embed_is_refused(given: Any) -> None:
    with pytest.raises(Refused, match="input must be a text"):
        OPENAI.read(raw(input=given))


def test_more_texts_than_may_be_are_refused_with_their_number() -> None:
    for surface in (OPENAI, EMBED):
        with pytest.raises(Refused, match=r"2049 texts. Send at most 2048"):
            surface.read(raw(input=["a"] * 2049))


def test_what_is_no_text_is_refused_as_ollama_says_it() -> None:
    with pytest.raises(Refused, match="invalid input type"):
        EMBED.read(raw(input=[1, 2]))
    with pytest.raises(Refused, match="prompt must be text"):
        OLDER.read(raw(prompt=["a"]))


def test_tokens_are_left_to_engines_that_know_them() -> None:
    asked = OPENAI.read(raw(input=[[1, 2, 3]]))
    assert OPENAI.own_call(asked, "e").body == asked.raw
    with pytest.raises(RequestRefused, match="not tokens"):
        OPENAI.request(asked, "e")


def test_openais_request_is_said_to_ollama_and_ollamas_to_openai() -> None:
    call = embedding_call("ollama", OPENAI.request(OPENAI.read(raw(input="a", dimensions=8)), "e:latest"))
    assert call.path == "/api/embed"
    assert json.loads(call.body) == {"model": "e:latest", "input": ["a"], "dimensions": 8}
    call = embedding_call("openai", EMBED.request(EMBED.read(raw(input=["a", "b"])), "e"))
    assert call.path == "/v1/embeddings"
    assert json.loads(call.body) == {"model": "e", "input": ["a", "b"], "encoding_format": "float"}
    assert EMBED.request(EMBED.read(raw()), "e").texts == [""]
    assert OLDER.request(OLDER.read(raw(prompt="a")), "e") == EmbeddingRequest("e", ("a",))


def test_answers_are_written_in_the_clients_dialect() -> None:
    said = json.loads(OPENAI.answer(OPENAI.read(raw(input=["a", "b"])), "e", TWO))
    assert [row["embedding"] for row in said["data"]] == TWO.vectors
    assert [row["index"] for row in said["data"]] == [0, 1]
    assert said["usage"] == {"prompt_tokens": 7, "total_tokens": 7}
    assert json.loads(EMBED.answer(EMBED.read(raw(input="a")), "e", TWO)) == {
        "model": "e",
        "embeddings": TWO.vectors,
        "prompt_eval_count": 7,
    }
    assert json.loads(OLDER.answer(OLDER.read(raw(prompt="a")), "e", TWO)) == {"embedding": [0.5, -1.0]}


def test_openais_client_gets_base64_where_it_asks_for_it() -> None:
    """The Python client does by default."""
    asked = OPENAI.read(raw(input=["a", "b"], encoding_format="base64"))
    said = json.loads(OPENAI.answer(asked, "e", TWO))
    assert [unpacked(row["embedding"]) for row in said["data"]] == TWO.vectors


def test_vectors_are_read_in_the_order_of_their_index_as_numbers_or_base64() -> None:
    rows = [{"index": 1, "embedding": [2.0]}, {"index": 0, "embedding": "AACAPw=="}]
    body = json.dumps({"data": rows, "usage": {"prompt_tokens": 3}}).encode()
    assert read_vectors("openai", body, 2) == Vectors([[1.0], [2.0]], 3)
    body = json.dumps({"embeddings": [[1.0]], "prompt_eval_count": 2}).encode()
    assert read_vectors("ollama", body, 1) == Vectors([[1.0]], 2)


@pytest.mark.parametrize("kind", ["ollama", "openai"])
@pytest.mark.parametrize(
    "body",
    [
        b"<html>",
        b"[]",
        b"{}",
        b'{"embeddings":[[1]],"data":[{"embedding":[1]}]}',
        b'{"data":[{"embedding":"?"}]}',
    ],
)
def test_an_answer_that_is_none_is_said_to_be_the_engines_fault(kind: str, body: bytes) -> None:
    with pytest.raises(InvalidReply):
        read_vectors(kind, body, 2)


def test_tokens_are_found_without_reading_the_vectors() -> None:
    many = b"[[0.1]" + b",[0.1]" * 10_000 + b"]"
    assert told_tokens(b'{"embeddings":' + many + b',"prompt_eval_count":12}') == 12
    assert told_tokens(b'{"usage": {"prompt_tokens": 5}, "data": ' + many + b"}") == 5
    assert told_tokens(b'{"embedding":' + many + b"}") is None
