"""What a row must be: one sentence for each thing that may be wrong with it. Pure."""

from __future__ import annotations

import re
from typing import Any

_ESCAPES = re.compile(r"\\u0000|\\u[dD][89a-fA-F]", re.ASCII)
_SURROGATE = re.compile("[\ud800-\udfff]")


class RowError(ValueError):
    """A dataset is refused: at which row (0 is the first; None: the whole file), at which field, and why."""

    def __init__(self, row: int | None, field: str | None, message: str, code: str) -> None:
        super().__init__(message if row is None else f"row {row}: {message}")
        self.row, self.field, self.message, self.code = row, field, str(self.args[0]), code


class Duplicate(ValueError):
    """A key stands twice in one object."""

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key


class NotJsonNumber(ValueError):
    """NaN or an infinity."""


def duplicate_refusing_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of these pairs. Raises Duplicate."""
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise Duplicate(key)
            seen.add(key)
    return found


def refuse_constant(name: str) -> Any:
    """NaN and the infinities are no JSON."""
    raise NotJsonNumber(name)


def check_row(index: int, value: dict[str, Any], raw: str, max_depth: int) -> None:
    """Raise RowError when this row cannot be run."""
    if depth_passes(value, max_depth):
        raise RowError(index, None, f"the row is nested deeper than {max_depth} levels", "too_deep")
    if _ESCAPES.search(raw):
        _refuse_unstorable(index, value)
    messages, instruction = value.get("messages"), value.get("instruction")
    if messages is not None:
        return _check_messages(index, messages)
    if "instruction" not in value:
        message = "the row has neither instruction nor messages; expected a text or a list of messages"
        raise RowError(index, "instruction", message, "missing_field")
    _check_text(index, "instruction", instruction)
    if not str(instruction).strip():
        raise RowError(index, "instruction", "instruction is empty; expected a text", "empty_field")
    if value.get("input") is not None:
        _check_text(index, "input", value["input"])
    return None


def depth_passes(value: Any, limit: int) -> bool:
    """Whether objects and arrays are nested deeper than the limit."""
    level = [value]
    for _ in range(limit + 1):
        level = [
            child
            for parent in level
            if isinstance(parent, dict | list)
            for child in (parent.values() if isinstance(parent, dict) else parent)
            if isinstance(child, dict | list)
        ]
        if not level:
            return False
    return True


def _check_text(index: int, field: str, value: Any) -> None:
    if not isinstance(value, str):
        message = f"{field} is {_kind(value)}; expected a text"
        raise RowError(index, field, message, "wrong_type")


def _check_messages(index: int, messages: Any) -> None:
    if not isinstance(messages, list) or not messages:
        kind = "empty" if messages == [] else _kind(messages)
        raise RowError(index, "messages", f"messages is {kind}; expected a list of messages", "wrong_type")
    for place, message in enumerate(messages):
        field = f"messages[{place}]"
        if not isinstance(message, dict):
            raise RowError(index, field, f"{field} is {_kind(message)}; expected an object", "wrong_type")
        _check_text(index, f"{field}.role", message.get("role"))
        content = message.get("content")
        if isinstance(content, list):
            _check_parts(index, f"{field}.content", content)
        elif content is not None or not message.get("tool_calls"):
            _check_text(index, f"{field}.content", content)


def _check_parts(index: int, field: str, parts: list[Any]) -> None:
    if not parts or not all(isinstance(part, dict) and isinstance(part.get("type"), str) for part in parts):
        raise RowError(index, field, f"{field} is a list; expected parts with a type each", "wrong_type")


def _refuse_unstorable(index: int, value: Any) -> None:
    for text in _texts(value):
        if "\x00" in text:
            raise RowError(
                index, None, "the row holds a NUL character (\\u0000); take it out", "nul_character"
            )
        if _SURROGATE.search(text):
            message = "the row holds half of a character (a lone surrogate); write whole characters"
            raise RowError(index, None, message, "lone_surrogate")


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for pair in value.items() for part in pair for text in _texts(part)]
    return [text for part in value for text in _texts(part)] if isinstance(value, list) else []


def _kind(value: Any) -> str:
    if value is None:
        return "missing or null"
    names = {bool: "true or false", int: "a number", float: "a number", list: "a list", dict: "an object"}
    return names.get(type(value), "a text")
