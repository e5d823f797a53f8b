"""How OpenAI's words are said to Ollama: sampling parameters, messages, pictures, tools. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson

from inference.errors import RequestRefused

# Parameters that Ollama takes beside `options`, by their own name.
_TOP_LEVEL = frozenset(
    {"think", "format", "keep_alive", "tools", "truncate", "shift", "logprobs", "top_logprobs", "suffix"}
)
_RENAMED = {
    "max_tokens": "num_predict",
    "max_completion_tokens": "num_predict",
    "repetition_penalty": "repeat_penalty",
}
_EFFORTS: dict[str, Any] = {"none": False, "minimal": "low", "low": "low", "medium": "medium", "high": "high"}
# DPL says these itself, or they speak of OpenAI's transport.
_OURS = frozenset({"model", "messages", "stream", "stream_options"})


def parameters(sampling: Mapping[str, Any]) -> dict[str, Any]:
    """The body's fields for these sampling parameters: `options` and what stands beside it.

    Unknown names go into `options`, where Ollama reads over what it does not know.
    """
    top: dict[str, Any] = {}
    options: dict[str, Any] = {}
    for name, value in sampling.items():
        if value is None or name in _OURS:
            continue
        if name in _TOP_LEVEL:
            top[name] = value
        elif name == "response_format":
            top |= _format(value)
        elif name == "reasoning_effort":
            top.setdefault("think", _EFFORTS.get(value, value))
        elif name == "options" and isinstance(value, Mapping):
            options |= value
        elif name == "stop":
            options["stop"] = [value] if isinstance(value, str) else value
        else:
            options[_RENAMED.get(name, name)] = value
    return top | ({"options": options} if options else {})


def message(written: Mapping[str, Any]) -> dict[str, Any]:
    """One message in Ollama's shape. Raises RequestRefused for parts that it cannot carry."""
    made = dict(written)
    text, images = _content(written.get("content"))
    made["content"] = text
    if images:
        made["images"] = [*made.get("images", ()), *images]
    if made.get("role") == "developer":
        made["role"] = "system"
    if made.get("tool_calls"):
        made["tool_calls"] = [_tool_call(call) for call in made["tool_calls"]]
    return made


def in_context(body: Mapping[str, Any], context: int) -> dict[str, Any]:
    """What to change in a body so that a model stays as it is loaded, with so much context in tokens (0: unknown).

    Ollama loads a model anew for every other `num_ctx`, and for none by its default. So a request that fits
    into what is loaded takes that; one that wants more gets it.
    """
    options = body.get("options") or {}
    if not context or not isinstance(options, Mapping) or wanted_context(body) >= context:
        return {}
    return {"options": {**options, "num_ctx": context}}


def wanted_context(body: Mapping[str, Any]) -> int:
    """The context that a body asks the model to be loaded with, in tokens; 0 when it leaves that open."""
    options = body.get("options")
    wanted = options.get("num_ctx") if isinstance(options, Mapping) else None
    return wanted if isinstance(wanted, int) and not isinstance(wanted, bool) and wanted > 0 else 0


def prompt(messages: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The same conversation for /api/generate: `prompt`, `system` and `images`.

    A single message is the prompt as it stands; more become a script with a line for who speaks.
    """
    made = [message(written) for written in messages]
    system = "\n\n".join(one["content"] for one in made if one.get("role") == "system")
    turns = [one for one in made if one.get("role") != "system"]
    images = [image for one in turns for image in one.get("images", ())]
    text = turns[0]["content"] if len(turns) == 1 else _script(turns)
    body: dict[str, Any] = {"prompt": text}
    return body | ({"system": system} if system else {}) | ({"images": images} if images else {})


def _script(turns: Iterable[Mapping[str, Any]]) -> str:
    lines = [f"{str(turn.get('role', 'user')).capitalize()}: {turn['content']}" for turn in turns]
    return "\n\n".join([*lines, "Assistant:"])


def _format(value: Any) -> dict[str, Any]:
    kind = value.get("type") if isinstance(value, Mapping) else value
    if kind == "json_object":
        return {"format": "json"}
    if kind == "json_schema" and isinstance(value, Mapping):
        wrapped = value.get("json_schema")
        schema = wrapped.get("schema", wrapped) if isinstance(wrapped, Mapping) else value.get("schema")
        return {"format": schema} if schema else {"format": "json"}
    if kind in ("text", None):
        return {}
    raise RequestRefused(f"Ollama has no response_format {kind!r}; use text, json_object or json_schema.")


def _content(content: Any) -> tuple[str, list[str]]:
    """Text, and pictures as base64, of a message's content in either of OpenAI's forms."""
    if content is None:
        return "", []
    if isinstance(content, str):
        return content, []
    if not isinstance(content, Sequence):
        raise RequestRefused("A message's content must be text or a list of parts.")
    texts: list[str] = []
    images: list[str] = []
    for part in content:
        kind = part.get("type") if isinstance(part, Mapping) else None
        if kind in ("text", "input_text"):
            texts.append(str(part.get("text", "")))
        elif kind == "image_url":
            images.append(_image(part.get("image_url")))
        else:
            raise RequestRefused(
                f"Ollama cannot take a message part of type {kind!r}; use text and image_url."
            )
    return "\n".join(texts), images


def _image(value: Any) -> str:
    url = value.get("url") if isinstance(value, Mapping) else value
    head, comma, data = str(url).partition(",")
    if not comma or not head.startswith("data:") or not head.endswith(";base64"):
        raise RequestRefused("Ollama takes pictures as data:image/…;base64,… only; it fetches no addresses.")
    return data


def _tool_call(call: Any) -> Any:
    """OpenAI's arguments are JSON text, Ollama's an object."""
    function = call.get("function") if isinstance(call, Mapping) else None
    if not isinstance(function, Mapping) or not isinstance(function.get("arguments"), str):
        return call
    try:
        arguments = orjson.loads(function["arguments"] or "{}")
    except orjson.JSONDecodeError as error:
        raise RequestRefused(f"The arguments of a tool call are not JSON: {error}.") from error
    return {**call, "function": {**function, "arguments": arguments}}
