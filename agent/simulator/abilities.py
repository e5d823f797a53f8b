"""What a simulated model can do besides talk, which its name tells: think, call tools. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

THOUGHTS = ("Let", " me", " think", ".")
"""What a model that thinks thinks, one token each."""


@dataclass(frozen=True)
class ToolCall:
    """One call that the model wants made."""

    index: int
    name: str
    arguments: Mapping[str, object]

    @property
    def identity(self) -> str:
        """The call's id: within one answer each has another."""
        return f"call_{self.index:08x}"


def calls_of(tools: Sequence[object], messages: Sequence[object]) -> tuple[ToolCall, ...]:
    """A call of each tool; none where the conversation ends in a tool's result, which is to be spoken about."""
    last = messages[-1] if messages else None
    if isinstance(last, dict) and last.get("role") == "tool":
        return ()
    functions = [tool.get("function") for tool in tools if isinstance(tool, dict)]
    named = [one for one in functions if isinstance(one, dict) and isinstance(one.get("name"), str)]
    return tuple(
        ToolCall(index, one["name"], _arguments(one.get("parameters"))) for index, one in enumerate(named)
    )


def written(arguments: Mapping[str, object]) -> str:
    """Arguments as JSON text."""
    return json.dumps(arguments, ensure_ascii=False, separators=(",", ":"))


def _arguments(schema: object) -> dict[str, object]:
    """A value for each parameter: the first that may be, or an empty one of its type."""
    properties = schema.get("properties") if isinstance(schema, dict) else None
    if not isinstance(properties, dict):
        return {}
    return {str(name): _value(one) for name, one in properties.items()}


def _value(schema: object) -> object:
    told = schema if isinstance(schema, dict) else {}
    choices = told.get("enum")
    if isinstance(choices, list) and choices:
        return choices[0]
    empty: dict[str, object] = {"integer": 0, "number": 0, "boolean": False, "array": [], "object": {}}
    return empty.get(str(told.get("type")), "")
