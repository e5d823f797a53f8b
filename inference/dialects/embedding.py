"""Vectors of texts: how each kind of engine is asked for them, and what it answers. Pure."""

from __future__ import annotations

import base64
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from inference.dialects.base import Call
from inference.dialects.bodies import count, encode
from inference.dialects.faults import error_in_reply
from inference.errors import InvalidReply

OPENAI_EMBEDDINGS = "/v1/embeddings"
OLLAMA_EMBED = "/api/embed"


@dataclass(frozen=True, slots=True)
class EmbeddingRequest:
    """Texts to be embedded; `dimensions`: 0 for the model's own."""

    model: str
    texts: Sequence[str]
    dimensions: int = 0


@dataclass(frozen=True, slots=True)
class Vectors:
    """One vector for each text, in their order; the tokens read, None where the engine does not say."""

    vectors: Sequence[Sequence[float]]
    prompt_tokens: int | None = None


def embedding_call(kind: str, request: EmbeddingRequest) -> Call:
    """The HTTP request to an engine of this kind. Raises RequestRefused for what JSON cannot hold."""
    body: dict[str, Any] = {"model": request.model, "input": list(request.texts)}
    if request.dimensions:
        body["dimensions"] = request.dimensions
    if kind == "ollama":
        return Call(OLLAMA_EMBED, encode(body), False)
    return Call(OPENAI_EMBEDDINGS, encode(body | {"encoding_format": "float"}), False)


def read_vectors(kind: str, body: bytes, texts: int) -> Vectors:
    """The answer of an engine of this kind to so many texts. Raises InvalidReply, or what the engine reports."""
    try:
        said = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidReply(f"The engine's answer is not JSON: {error}.") from error
    if not isinstance(said, dict):
        raise InvalidReply("The engine's answer is not a JSON object.")
    if said.get("error"):
        raise error_in_reply(said["error"])
    vectors = _ollamas(said) if kind == "ollama" else _openais(said)
    if len(vectors) != texts:
        raise InvalidReply(f"The engine answered {len(vectors)} vectors to {texts} texts.")
    usage = said.get("usage")
    tokens = usage.get("prompt_tokens") if isinstance(usage, dict) else said.get("prompt_eval_count")
    return Vectors(vectors, count(tokens))


def packed(vector: Sequence[float]) -> str:
    """A vector as OpenAI's base64: little-endian 32-bit floats."""
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def unpacked(text: str) -> list[float]:
    """The vector in such a text. Raises InvalidReply."""
    try:
        data = base64.b64decode(text, validate=True)
        return list(struct.unpack(f"<{len(data) // 4}f", data))
    except (ValueError, struct.error) as error:
        raise InvalidReply("The engine's vector is neither numbers nor base64 of them.") from error


def _ollamas(said: Mapping[str, Any]) -> list[list[float]]:
    found = said.get("embeddings")
    if not isinstance(found, list) or not all(isinstance(vector, list) for vector in found):
        raise InvalidReply("The engine's answer holds no embeddings.")
    return found


def _openais(said: Mapping[str, Any]) -> list[list[float]]:
    """In the order of their index, whatever order they come in."""
    rows = said.get("data")
    if not isinstance(rows, list) or not all(isinstance(row, dict) and "embedding" in row for row in rows):
        raise InvalidReply("The engine's answer holds no embeddings.")
    ordered = sorted(enumerate(rows), key=lambda one: (count(one[1].get("index")) or 0, one[0]))
    return [_vector(row["embedding"]) for _, row in ordered]


def _vector(told: Any) -> list[float]:
    if isinstance(told, str):
        return unpacked(told)
    if not isinstance(told, list):
        raise InvalidReply("The engine's answer holds an embedding that is no vector.")
    return told
