"""Sampling parameters as people give them: one JSON object, checked in words. Pure."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

MAX_SAMPLING = 64_000
MAX_DEPTH = 20


class OptionError(ValueError):
    """A form field that cannot be used: `field` names it; the message says what is wrong and what is right."""

    code = "bad_option"

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field
        self.message = message


def read_sampling(value: str) -> dict[str, Any]:
    """The JSON object in the form field `options`, checked; empty for an empty field. Raises OptionError."""
    if not value:
        return {}
    if len(value) > MAX_SAMPLING:
        raise OptionError(
            "options", f"options is longer than the {MAX_SAMPLING} characters that are possible."
        )
    try:
        sampling = json.loads(value, parse_constant=_no_constant, object_pairs_hook=_no_twins)
    except (ValueError, RecursionError) as error:
        wanted = 'it must be a JSON object, such as {"temperature": 0.2}.'
        raise OptionError("options", f"options is not JSON ({error}); {wanted}") from None
    if not isinstance(sampling, dict):
        raise OptionError("options", 'options must be a JSON object, such as {"temperature": 0.2}.')
    _walk("options", sampling, MAX_DEPTH)
    check_sampling(sampling)
    return sampling


def check_sampling(sampling: Mapping[str, Any]) -> None:
    """Raise OptionError for a parameter that no engine could take; names that are not known pass."""
    for name, value in sampling.items():
        if name in _OURS:
            raise OptionError("options", f"options has {name!r} in it; {_OURS[name]}")
        check, wanted = _CHECKS.get(name, (None, ""))
        if check is not None and value is not None and not check(value):
            raise OptionError("options", f"options: {name} is {_short(value)}; it must be {wanted}.")


_OURS = {
    "model": "name the model in the field `model`.",
    "messages": "the rows are the messages; a system prompt goes into the field `system`.",
    "stream": "answers are always recorded whole.",
    "n": "each row has one answer.",
}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_texts(value: Any) -> bool:
    is_list = isinstance(value, list) and all(isinstance(one, str) for one in value)
    return isinstance(value, str) or is_list


_Check = tuple[Callable[[Any], bool], str]
_NUMBER: _Check = (_is_number, "a number")
_WHOLE: _Check = (_is_whole, "a whole number")
_COUNT: _Check = (lambda value: _is_whole(value) and value >= 1, "a whole number from 1")
_CHECKS: dict[str, _Check] = {
    "temperature": (lambda value: _is_number(value) and 0 <= value <= 5, "a number from 0 to 5"),
    "top_p": (lambda value: _is_number(value) and 0 < value <= 1, "a number above 0, at most 1"),
    "min_p": (lambda value: _is_number(value) and 0 <= value <= 1, "a number from 0 to 1"),
    "top_k": _WHOLE,
    "seed": _WHOLE,
    "max_tokens": _COUNT,
    "max_completion_tokens": _COUNT,
    "presence_penalty": _NUMBER,
    "frequency_penalty": _NUMBER,
    "repeat_penalty": _NUMBER,
    "stop": (_is_texts, "a text or a list of texts"),
    "think": (lambda value: isinstance(value, bool | str), "true, false or a text"),
    "response_format": (lambda value: isinstance(value, dict), "a JSON object"),
}


def _no_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is no JSON number")


def _no_twins(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twin = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twin!r} comes twice")
    return found


def _walk(name: str, value: Any, depth: int) -> None:
    """Refuse what no database keeps, and nesting that nobody means."""
    if depth == 0:
        raise OptionError(name, f"{name} is nested deeper than {MAX_DEPTH} levels.")
    if isinstance(value, str):
        refuse_unstorable(name, value)
    elif isinstance(value, dict):
        for key, inner in value.items():
            refuse_unstorable(name, key)
            _walk(name, inner, depth - 1)
    elif isinstance(value, list):
        for inner in value:
            _walk(name, inner, depth - 1)
    elif isinstance(value, int | float) and not -(2**63) < value < 2**63:
        raise OptionError(name, f"{name} has the number {_short(value)} in it, which is too large.")


def refuse_unstorable(name: str, text: str) -> None:
    """Raise OptionError for a text that not every database can keep."""
    if "\x00" in text:
        raise OptionError(name, f"{name} has a NUL character (\\u0000) in it; remove it.")
    if any(map(is_surrogate, text)):
        raise OptionError(name, f"{name} has half a character (a lone surrogate) in it; remove it.")


def is_surrogate(character: str) -> bool:
    """Whether this is half a character, which UTF-8 cannot hold."""
    return "\ud800" <= character <= "\udfff"


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 40 else f"{text[:40]}…"
