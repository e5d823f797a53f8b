"""What an engine's error means: the many shapes of error bodies read as one, and mapped onto the tree. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import orjson

from inference.errors import (
    ContextOverflow,
    EngineBusy,
    EngineFailure,
    EngineRejectsUs,
    EngineTimeout,
    InferenceError,
    InvalidReply,
    ModelMissing,
    NotSupported,
    RequestRefused,
    Unreachable,
)

MAX_SAID = 500

_OVERFLOW = re.compile(
    r"exceed_context_size|context_length_exceeded|maximum context length|maximum model length"
    r"|exceeds? (the |this )?(model's |available |maximum )*context|longer than the (model's )?context",
    re.I,
)
_MODEL_MISSING = re.compile(r"model_not_found|\bmodel\b.{0,200}?\b(not found|does not exist)", re.I | re.S)
# llama.cpp's 500 for pictures and sounds to a model that has neither eyes nor ears.
_NOT_SUPPORTED = re.compile(r"\b(image|audio|video) input is not supported", re.I)
# Wrong input that Ollama answers with 500.
_REFUSED_AS_500 = re.compile(r"^option \".*\" must be|^invalid format:|^invalid option", re.I)


@dataclass(frozen=True, slots=True)
class Said:
    """What an engine said went wrong: its message, and its machine-readable word, both empty when unsaid.

    `is_json` is false for pages and plain text, which often come from a proxy in front of the engine.
    """

    message: str
    word: str = ""
    is_json: bool = True


def read_error(body: bytes) -> Said:
    """The error in a body of whatever shape: OpenAI's, Ollama's, FastAPI's, plain text, a web page."""
    try:
        return _from_json(orjson.loads(body))
    except orjson.JSONDecodeError:
        text = " ".join(body[:4096].decode("utf-8", "replace").split())
        title = re.search(r"<title>(.*?)</title>", text, re.I)
        message = title.group(1) if title else re.sub(r"<[^>]*>", " ", text)
        return Said(message.strip()[:MAX_SAID], is_json=False)


def error_of(status: int, said: Said) -> InferenceError:
    """What a status other than 200 means, with what the engine said."""
    kind, sentence = _meaning(status, said)
    told = f": {said.message}" if said.message else "."
    return kind(sentence + told, engine_message=said.message)


def _meaning(status: int, said: Said) -> tuple[type[InferenceError], str]:
    hint = f"{said.word} {said.message}"
    if status in (400, 413, 422, 500) and _OVERFLOW.search(hint):
        return ContextOverflow, "The prompt is longer than the model's context"
    if status in (400, 404) and _MODEL_MISSING.search(hint):
        return ModelMissing, "The engine does not have the model"
    if status in (429, 503):
        return EngineBusy, "The engine is busy"
    if status in (401, 403):
        return EngineRejectsUs, f"The engine refuses DPL ({status}); check its key and its allowed hosts"
    if status == 404 or 300 <= status < 400 or (status == 502 and not said.is_json):
        return Unreachable, f"Something else than the engine answers at its address ({_named(status)})"
    if status in (408, 504):
        return EngineTimeout, f"The engine, or a proxy before it, gave up on the prompt ({_named(status)})"
    if 200 < status < 300:
        return InvalidReply, f"The engine answered without an answer ({_named(status)})"
    if status == 501 or (status == 500 and _NOT_SUPPORTED.search(hint)):
        return NotSupported, "The engine does not do this"
    if status >= 499 and not _REFUSED_AS_500.search(said.message):
        return EngineFailure, f"The engine failed on the prompt ({_named(status)})"
    return RequestRefused, f"The engine refuses the request ({_named(status)})"


def error_in_reply(error: Any) -> InferenceError:
    """What an `error` inside an answer of status 200 means; its own code counts where it is an HTTP status."""
    code = error.get("code") if isinstance(error, dict) else None
    said = _from_json({"error": error})
    return error_of(code if isinstance(code, int) and 400 <= code < 600 else 500, said)


def _named(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def _from_json(value: Any) -> Said:
    """The innermost message; an `error` text that holds JSON itself is opened (Ollama wraps llama.cpp's so)."""
    for _ in range(3):
        if isinstance(value, dict) and value.get("error"):
            value = value["error"]
        elif isinstance(value, str) and value.lstrip().startswith("{"):
            try:
                value = orjson.loads(value)
            except orjson.JSONDecodeError:
                break
        else:
            break
    if not isinstance(value, dict):
        return Said(_text(value))
    message = value.get("message") or value.get("detail") or value
    words = (value.get("type"), value.get("code"))
    return Said(_text(message), " ".join(word for word in words if isinstance(word, str)))


def _text(value: Any) -> str:
    """A message as one bounded text; structured details (FastAPI's lists) stay readable JSON."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    return text[:MAX_SAID]
