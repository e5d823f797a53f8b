"""How the bodies of requests are read, with the complaints of a Go program for what is wrong in them. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from agent.simulator.engine import Refusal
from agent.simulator.residency import FOREVER_S

Body = Mapping[str, object]

_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"([+-]?)((?:\d+(?:\.\d*)?|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+")
_DURATION_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)")
_FLOATS = {
    "temperature",
    "top_p",
    "min_p",
    "typical_p",
    "repeat_penalty",
    "presence_penalty",
    "frequency_penalty",
}
_INTEGERS = {
    "num_keep", "seed", "num_predict", "top_k", "repeat_last_n", "num_ctx", "num_batch", "num_gpu", "main_gpu",
    "num_thread", "draft_num_predict",
}  # fmt: skip


def go_body(raw: bytes) -> Body:
    """The JSON object in a body; Refusal 400 in the words that Ollama has for it."""
    if not raw.strip():
        raise Refusal(400, "missing request body")
    text = raw.decode("utf-8", "replace")
    try:
        body = json.loads(text)
    except RecursionError:
        raise Refusal(400, "exceeded max depth") from None
    except json.JSONDecodeError as error:
        at_end = error.pos >= len(text.rstrip())
        raise Refusal(400, "unexpected EOF" if at_end else _invalid_character(text, error.pos)) from None
    except ValueError as error:
        raise Refusal(400, str(error)) from None
    if not isinstance(body, dict):
        raise Refusal(400, f"json: cannot unmarshal {go_kind(body)} into Go value of type api.ChatRequest")
    return body


def text_field(body: Body, name: str, struct: str) -> str:
    """A string member, empty where there is none."""
    value = body.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise Refusal(400, _wrong_type(value, f"{struct}.{name}", "string"))
    return value


def list_field(body: Body, name: str, struct: str, item: str) -> list[object]:
    """An array member, empty where there is none."""
    value = body.get(name)
    if value is None:
        return []
    if not isinstance(value, list):
        raise Refusal(400, _wrong_type(value, f"{struct}.{name}", f"[]{item}"))
    return value


def flag_field(body: Body, name: str, struct: str, *, default: bool) -> bool:
    """A boolean member."""
    value = body.get(name)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise Refusal(400, _wrong_type(value, f"{struct}.{name}", "bool"))
    return value


def keep_alive_s(body: Body) -> float | None:
    """How long a model stays after the request, None where nothing is said; a negative time is for ever."""
    value = body.get("keep_alive")
    if value is None:
        return None
    if isinstance(value, str):
        seconds = _duration(value)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        seconds = float(value)
    else:
        raise Refusal(400, f"Unsupported type: '{go_kind(value)}'")
    return FOREVER_S if seconds < 0 else min(seconds, FOREVER_S)


def checked_options(body: Body) -> Body:
    """The `options` of a request; unknown ones are ignored, a wrong type is Ollama's 500."""
    options = body.get("options")
    if options is None:
        return {}
    if not isinstance(options, dict):
        raise Refusal(400, _wrong_type(options, "ChatRequest.options", "map[string]interface {}"))
    for name, value in options.items():
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if value is not None and not is_number and name in _FLOATS | _INTEGERS:
            kind = "float32" if name in _FLOATS else "integer"
            raise Refusal(500, f'option "{name}" must be of type {kind}')
    return options


def limit_of(value: object) -> int | None:
    """A length limit as a number of tokens, None where there is none or it is no limit."""
    return (
        int(value) if isinstance(value, int | float) and not isinstance(value, bool) and value > 0 else None
    )


def go_kind(value: object) -> str:
    """What Go's decoder calls a JSON value."""
    if value is None:
        return "null"
    names = {bool: "bool", int: "number", float: "number", str: "string", list: "array"}
    return names.get(type(value), "object")


def _duration(text: str) -> float:
    if not _DURATION.fullmatch(text):
        problem = "missing unit in" if re.fullmatch(r"[+-]?\d+(\.\d*)?", text) and text != "0" else "invalid"
        if text == "0":
            return 0.0
        raise Refusal(400, f'time: {problem} duration "{text}"')
    seconds = sum(float(number) * _UNITS[unit] for number, unit in _DURATION_PART.findall(text))
    return -seconds if text.startswith("-") else seconds


def _wrong_type(value: object, field: str, wanted: str) -> str:
    return f"json: cannot unmarshal {go_kind(value)} into Go struct field {field} of type {wanted}"


def _invalid_character(text: str, position: int) -> str:
    return f"invalid character '{text[position]}' looking for beginning of value"
