"""What engines say about themselves, read: which models, which are resident, how many requests at once. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import orjson

MAX_MODELS = 2000
MAX_NAME = 200
MAX_ABILITIES = 12
_WORD = re.compile(r"[a-z_-]{1,15}")


@dataclass(frozen=True, slots=True)
class ModelSeen:
    """A model that an engine has. Size in bytes and context in tokens are None where it does not say.

    `can_generate` is false for models that only embed. `abilities` are what Ollama calls capabilities, none where
    the engine does not tell. `loaded_context` is the context that a resident model was
    loaded with, where that is the request's to choose (Ollama).
    """

    name: str
    is_resident: bool | None
    size_bytes: int | None = None
    context_length: int | None = None
    can_generate: bool = True
    loaded_context: int | None = None
    abilities: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EngineReading:
    """One look at an engine.

    `server` is what it says it is, empty when it was not asked; `slots` is how many requests at once it says
    it takes, 0 when it does not say. While it loads its model (`is_loading`) it lists none.
    """

    kind: str
    base_url: str
    server: str = ""
    slots: int = 0
    chat_path_missing: bool = False
    models: tuple[ModelSeen, ...] = ()
    is_loading: bool = False


def json_of(body: bytes) -> Any:
    """The body's JSON value; None when it is none."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None


def ollama_models(tags: Any, running: Any, *, lacks_ps: bool = False) -> tuple[ModelSeen, ...]:
    """Models out of /api/tags and /api/ps.

    Where an engine has no /api/ps (`lacks_ps`), what it lists counts as resident; where it did not answer this
    time, which are resident is not known (None).
    """
    loaded = {_name(item): item for item in _items(running, "models")}
    listed = {_name(item): item for item in _items(tags, "models")}
    knows = isinstance(running, dict) and isinstance(running.get("models"), list)
    unlisted = (True if lacks_ps else None) if not knows else False
    seen = []
    for name, item in {**loaded, **listed}.items():
        details = _object(item, "details")
        capabilities = item.get("capabilities")
        seen.append(
            ModelSeen(
                name=name,
                is_resident=name in loaded or unlisted,
                size_bytes=_number(item.get("size")),
                context_length=_first(
                    loaded.get(name, {}).get("context_length"), details.get("context_length")
                ),
                can_generate=not isinstance(capabilities, list) or "completion" in capabilities,
                loaded_context=_first(loaded.get(name, {}).get("context_length")),
                abilities=_words(capabilities),
            )
        )
    return _kept(seen)


def openai_models(listed: Any) -> tuple[ModelSeen, ...]:
    """Models out of /v1/models. All are resident, except those that a llama.cpp router says it has not loaded."""
    seen = []
    for item in _items(listed, "data"):
        meta, status = _object(item, "meta"), _object(item, "status")
        contexts = (
            item.get("max_model_len"),
            meta.get("n_ctx"),
            meta.get("n_ctx_train"),
            item.get("context_length"),
        )
        seen.append(
            ModelSeen(
                name=_name(item),
                is_resident=status.get("value", "loaded") == "loaded",
                size_bytes=_number(meta.get("size")),
                context_length=_first(*contexts),
            )
        )
    return _kept(seen)


def owner(listed: Any) -> str:
    """Who owns the first model of /v1/models, which is how llama.cpp and vLLM give themselves away."""
    for item in _items(listed, "data"):
        return str(item.get("owned_by") or "")
    return ""


def is_loading(status: int, body: bytes) -> bool:
    """Whether this is llama.cpp's answer while it loads its model."""
    said = json_of(body) if status == 503 else None
    error = said.get("error") if isinstance(said, dict) else None
    return isinstance(error, dict) and "loading model" in str(error.get("message")).lower()


def slots(props: Any) -> int:
    """How many requests at once, out of llama.cpp's /props; 0 when it does not say."""
    return (_number(props.get("total_slots")) or 0) if isinstance(props, dict) else 0


def _items(value: Any, name: str) -> list[dict[str, Any]]:
    found = value.get(name) if isinstance(value, dict) else None
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


def _object(item: dict[str, Any], name: str) -> dict[str, Any]:
    found = item.get(name)
    return found if isinstance(found, dict) else {}


def _name(item: dict[str, Any]) -> str:
    return str(item.get("id") or item.get("name") or item.get("model") or "")


def _kept(seen: Iterable[ModelSeen]) -> tuple[ModelSeen, ...]:
    """Those with a name that fits its column, each once, and not without end."""
    named = {model.name: model for model in seen if 0 < len(model.name) <= MAX_NAME}
    return tuple(named.values())[:MAX_MODELS]


def _words(told: Any) -> tuple[str, ...]:
    """Short words out of a list of whatever kind."""
    given = told[:MAX_ABILITIES] if isinstance(told, list) else ()
    return tuple(word for word in given if isinstance(word, str) and _WORD.fullmatch(word))


def _number(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _first(*values: Any) -> int | None:
    return next((number for value in values if (number := _number(value))), None)
