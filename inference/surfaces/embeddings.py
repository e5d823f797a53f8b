"""Requests for vectors as the clients of OpenAI and Ollama speak them. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import orjson

from dpl_site.lib.refusals import Refused
from inference.dialects.base import Call
from inference.dialects.embedding import (
    OLLAMA_EMBED,
    OPENAI_EMBEDDINGS,
    EmbeddingRequest,
    Vectors,
    packed,
)
from inference.dialects.ollama_words import in_context
from inference.errors import RequestRefused
from inference.surfaces.base import Asked, model_of, read_body, with_model

OLLAMA_EMBEDDINGS = "/api/embeddings"
MOST_TEXTS = 2048
"""Texts of one request, as OpenAI has it."""
_TOLD_TOKENS = re.compile(rb'"(?:prompt_tokens|prompt_eval_count)"\s*:\s*(\d{1,12})')
_ENDS = 2048
"""Where in an answer the tokens stand: before the vectors or after them."""


class _Vectors:
    """What all three have in common: the request passes to an engine of its dialect as it came."""

    embeds: Literal[True] = True
    dialect = "ollama"
    path = OLLAMA_EMBED

    def own_call(self, asked: Asked, model: str, *, context: int = 0) -> Call:
        """The request to an engine of the same dialect that calls the model so."""
        changes = in_context(asked.body, context) if self.dialect == "ollama" else {}
        return Call(self.path, with_model(asked, model, **changes), False)

    def late_error(self, message: str, code: str, status: int) -> bytes:
        """No answer of theirs streams."""
        return b""


class OpenAIEmbeddings(_Vectors):
    """`/v1/embeddings`."""

    dialect = "openai"
    path = OPENAI_EMBEDDINGS

    def read(self, raw: bytes) -> Asked:
        """The request; tokens in place of texts are the engine's to understand."""
        body = read_body(raw)
        given = body.get("input")
        if not isinstance(given, str | list) or not given:
            raise _wrong("input", "input must be a text, or a list of them.")
        _not_too_many(given)
        if body.get("encoding_format") not in (None, "float", "base64"):
            raise _wrong("encoding_format", "encoding_format must be float or base64.")
        return Asked(raw, body, model_of(body), wants_stream=False)

    def request(self, asked: Asked, model: str) -> EmbeddingRequest:
        """The same in DPL's own words. Raises RequestRefused for tokens."""
        return EmbeddingRequest(model, _texts(asked.body["input"]), _dimensions(asked.body))

    def answer(self, asked: Asked, model: str, vectors: Vectors) -> bytes:
        """OpenAI's list."""
        wants_text = asked.body.get("encoding_format") == "base64"
        data = [
            {"object": "embedding", "index": index, "embedding": packed(one) if wants_text else one}
            for index, one in enumerate(vectors.vectors)
        ]
        read = vectors.prompt_tokens or 0
        usage = {"prompt_tokens": read, "total_tokens": read}
        return orjson.dumps({"object": "list", "data": data, "model": model, "usage": usage})


class OllamaEmbed(_Vectors):
    """`/api/embed`."""

    def read(self, raw: bytes) -> Asked:
        """The request; without any text it asks that the model be loaded."""
        body = read_body(raw)
        given = body.get("input")
        texts = given if isinstance(given, list) else [given or ""]
        if not all(isinstance(text, str) for text in texts):
            raise _wrong("input", "invalid input type")
        _not_too_many(texts)
        return Asked(raw, body, model_of(body), wants_stream=False)

    def request(self, asked: Asked, model: str) -> EmbeddingRequest:
        """The same in DPL's own words."""
        return EmbeddingRequest(model, _texts(asked.body.get("input") or ""), _dimensions(asked.body))

    def answer(self, asked: Asked, model: str, vectors: Vectors) -> bytes:
        """Ollama's reply."""
        told = {"prompt_eval_count": vectors.prompt_tokens} if vectors.prompt_tokens else {}
        return orjson.dumps({"model": asked.model or model, "embeddings": vectors.vectors} | told)


class OllamaEmbeddings(_Vectors):
    """`/api/embeddings`, Ollama's older form: one text, one vector."""

    path = OLLAMA_EMBEDDINGS

    def read(self, raw: bytes) -> Asked:
        """The request; without a prompt it asks that the model be loaded."""
        body = read_body(raw)
        if not isinstance(body.get("prompt") or "", str):
            raise _wrong("prompt", "prompt must be text.")
        return Asked(raw, body, model_of(body), wants_stream=False)

    def request(self, asked: Asked, model: str) -> EmbeddingRequest:
        """The same in DPL's own words."""
        return EmbeddingRequest(model, (asked.body.get("prompt") or "",))

    def answer(self, asked: Asked, model: str, vectors: Vectors) -> bytes:
        """Ollama's older reply."""
        return orjson.dumps({"embedding": vectors.vectors[0]})


def told_tokens(body: bytes) -> int | None:
    """How many tokens an answer says were read, without reading its vectors; None when it does not say."""
    found = _TOLD_TOKENS.search(body[:_ENDS]) or _TOLD_TOKENS.search(body[-_ENDS:])
    return int(found.group(1)) if found else None


def _texts(given: Any) -> Sequence[str]:
    texts = [given] if isinstance(given, str) else given
    if not all(isinstance(text, str) for text in texts):
        raise RequestRefused("The engine takes texts to be embedded, not tokens.")
    return list(texts)


def _dimensions(body: Mapping[str, Any]) -> int:
    wanted = body.get("dimensions")
    return wanted if isinstance(wanted, int) and not isinstance(wanted, bool) and wanted > 0 else 0


def _not_too_many(given: Sequence[Any]) -> None:
    if isinstance(given, list) and len(given) > MOST_TEXTS:
        raise _wrong("input", f"input holds {len(given)} texts. Send at most {MOST_TEXTS} at once.")


def _wrong(field: str, message: str) -> Refused:
    return Refused(message, code="bad_value", detail={"field": field})
