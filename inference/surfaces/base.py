"""What a surface is: it reads a client's request and writes the answer in the client's dialect. Pure."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, Protocol

import orjson

from dpl_site.lib.refusals import Refused
from inference.dialects.base import Call, Generation
from inference.dialects.deltas import Delta, Whole
from inference.dialects.embedding import EmbeddingRequest, Vectors

AUTO = frozenset({"", "auto"})
"""Names that mean: whatever is resident."""
MAX_MODEL = 200
MOST_OPENING = 4
OPENING_CHARS = 2000
"""How much of a conversation's beginning tells it from others: so many messages, so many characters of each."""


class Asked(NamedTuple):
    """A client's request, understood as far as everybody needs; `model` empty: whatever is resident.

    `nodes`: those that may answer, empty for all. `prefix` is a hash of the conversation's beginning, 0 for none.
    """

    raw: bytes
    body: Mapping[str, Any]
    model: str
    wants_stream: bool
    nodes: frozenset[int] = frozenset()
    prefix: int = 0


class Answering(NamedTuple):
    """The node that answers, what tells why it was chosen, and its own name of the model, where a surface says so."""

    node_id: int
    node_name: str
    why: Callable[[], tuple[str, ...]]
    model: str = ""


class Writer(Protocol):
    """Writes one answer of an engine that speaks another dialect."""

    def piece(self, delta: Delta) -> bytes:
        """One piece of a stream; empty when there is nothing to say yet."""

    def end(self) -> bytes:
        """What ends the stream."""

    def whole(self, answer: Whole) -> bytes:
        """The answer of a request that wants no stream."""


class Reading(Protocol):
    """What every surface has."""

    dialect: str
    """The kind of engine that understands the request as it stands."""

    def read(self, raw: bytes) -> Asked:
        """The request. Raises Refused (400) with what is wrong in it."""

    def late_error(self, message: str, code: str, status: int) -> bytes:
        """An error within a stream that has begun; empty where no answer streams."""


class VectorSurface(Reading, Protocol):
    """One kind of request for vectors in one client dialect."""

    embeds: Literal[True]

    def own_call(self, asked: Asked, model: str, *, context: int = 0) -> Call:
        """The request to an engine of the same dialect that calls the model so; `context` as for text."""

    def request(self, asked: Asked, model: str) -> EmbeddingRequest:
        """The same in DPL's own words, for an engine of another dialect. Raises RequestRefused."""

    def answer(self, asked: Asked, model: str, vectors: Vectors) -> bytes:
        """What is answered with the vectors of an engine of another dialect."""


class Surface(Reading, Protocol):
    """One kind of request for text in one client dialect."""

    embeds: Literal[False]

    stream_type: str
    """The content type of a streamed answer."""

    def own_call(
        self, asked: Asked, model: str, *, wants_stream: bool, context: int = 0, counts: bool = False
    ) -> Call:
        """The request to an engine of the same dialect that calls the model so.

        `context` is what the engine has the model loaded with, in tokens, 0 when that is not known. `counts`: it
        tells the tokens of a stream when it is asked to, and a client that did not ask is not to see them.
        """

    def generation(self, asked: Asked, model: str) -> Generation:
        """The same in DPL's own words, for an engine of another dialect. Raises RequestRefused."""

    def writer(self, asked: Asked, model: str, request_id: str) -> Writer:
        """Who writes what an engine of another dialect answers."""

    def ends(self, tail: bytes) -> bool:
        """Whether a stream of this dialect that ended in these bytes is whole."""

    def ping(self) -> bytes:
        """What keeps a stream's connection open before its first piece."""

    def opening(self, node: Answering) -> bytes:
        """What goes before a stream's first piece, and again when another node takes over; mostly nothing."""

    def named(self, body: bytes, node: Answering) -> bytes:
        """An answer that is no stream, with the node in it where this surface tells it there."""


class Unnamed:
    """Surfaces whose dialect has no place for the node: headers tell it."""

    def opening(self, node: Answering) -> bytes:
        """Nothing."""
        return b""

    def named(self, body: bytes, node: Answering) -> bytes:
        """The answer as it is."""
        return body


def read_body(raw: bytes) -> dict[str, Any]:
    """The JSON object of a request. Raises Refused."""
    if not raw.strip():
        raise Refused("The request has no body. Send a JSON object.", code="missing_body")
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise Refused(f"The request's body is not JSON: {error}.", code="invalid_json") from error
    if not isinstance(body, dict):
        raise Refused("The request's body must be a JSON object.", code="invalid_json")
    return body


def model_of(body: Mapping[str, Any]) -> str:
    """The model that is asked for, empty for any. Raises Refused."""
    model = body.get("model", "")
    if model is None or (isinstance(model, str) and model in AUTO):
        return ""
    if not isinstance(model, str) or len(model) > MAX_MODEL or not model.isprintable():
        raise Refused("model must be the name of a model.", code="bad_model", detail={"field": "model"})
    return model


def flag(body: Mapping[str, Any], name: str, *, default: bool) -> bool:
    """A yes or no. Raises Refused."""
    value = body.get(name, default)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise Refused(f"{name} must be true or false.", code="bad_value", detail={"field": name})
    return value


def messages_of(body: Mapping[str, Any], *, roles: frozenset[str]) -> list[dict[str, Any]]:
    """The conversation. Raises Refused."""
    messages = body.get("messages")
    if not isinstance(messages, list):
        raise Refused(
            "messages must be a list of messages.", code="bad_messages", detail={"field": "messages"}
        )
    for index, message in enumerate(messages):
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            text = f"messages[{index}] must be an object with a role and its content."
            raise Refused(text, code="bad_messages", detail={"field": f"messages[{index}]"})
        if message["role"] not in roles:
            text = f"messages[{index}] has the role {message['role'][:40]!r}; use {', '.join(sorted(roles))}."
            raise Refused(text, code="bad_role", detail={"field": f"messages[{index}].role"})
    return messages


def prefix_of(messages: Sequence[Mapping[str, Any]]) -> int:
    """A hash of how a conversation begins, up to its first question: the same with each turn that follows."""
    seed = 0
    for message in messages[:MOST_OPENING]:
        seed = zlib.crc32(_opening_of(message.get("content")), seed)
        if message.get("role") == "user":
            break
    return seed


def prefix_of_text(text: str) -> int:
    """The same for a conversation that is one text."""
    return zlib.crc32(text[:OPENING_CHARS].encode("utf-8", "surrogatepass"))


def _opening_of(content: Any) -> bytes:
    """The beginning of a message; of one in parts, the first text."""
    if isinstance(content, list):
        texts = (part.get("text") for part in content if isinstance(part, dict))
        content = next((text for text in texts if isinstance(text, str)), "")
    return content[:OPENING_CHARS].encode("utf-8", "surrogatepass") if isinstance(content, str) else b""


def with_model(asked: Asked, model: str, **changes: Any) -> bytes:
    """The request's body with the engine's name of the model; as it came where nothing differs."""
    changed = {**asked.body, "model": model, **changes}
    return asked.raw if changed == asked.body else orjson.dumps(changed)
