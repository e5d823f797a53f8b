"""Runs a client's checks and prints a line of JSON for each. Needs nothing but Python.

A check is a function `check_…` that is given a Side and returns what it saw, to be compared between two sides;
`gateway_…` is one that makes sense through the gateway only. A check that raises has failed.
"""

from __future__ import annotations

import asyncio
import faulthandler
import inspect
import json
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

HELLO = [{"role": "user", "content": "Hello, 灯 🔥"}]
TURNS = [
    {"role": "system", "content": "You are brief."},
    {"role": "user", "content": "One?"},
    {"role": "assistant", "content": "One."},
    {"role": "user", "content": "And two?"},
]
PICTURE = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
HUNG_S = 220
SCHEMA = {
    "type": "object",
    "properties": {"n": {"type": "integer", "minimum": 1, "maximum": 9}, "c": {"enum": ["a", "b"]}},
    "required": ["n", "c"],
    "additionalProperties": False,
}


def tool(name: str, parameter: str, value: str) -> dict[str, Any]:
    """A function with one parameter that has one value."""
    properties = {parameter: {"type": "string", "enum": [value]}}
    schema = {"type": "object", "properties": properties, "required": [parameter]}
    return {
        "type": "function",
        "function": {"name": name, "description": f"Tells {name}", "parameters": schema},
    }


TOOLS = [tool("weather", "city", "Oslo"), tool("clock", "zone", "UTC")]


@dataclass(frozen=True)
class Model:
    """A model and the address of who serves it, without a path."""

    url: str
    name: str


@dataclass(frozen=True)
class Side:
    """Where to: straight to an engine, or through the gateway. `engine` is its kind: openai or ollama."""

    key: str
    engine: str
    models: dict[str, Model]

    def __getitem__(self, role: str) -> Model:
        return self.models[role]


def refusal(ask: Callable[[], Any]) -> dict[str, Any]:
    """The error that a call raises, as a client's user sees it: its class, status and what it says."""
    try:
        got = ask()
    except Exception as error:
        told = getattr(error, "error", None) or getattr(error, "body", None) or str(error)
        message = told.get("message", told) if isinstance(told, dict) else told
        status = getattr(error, "status_code", None)
        return {"error": type(error).__name__, "status": status, "message": str(message)[:400]}
    raise AssertionError(f"it was not refused: {got!r:.300}")


def run(module: dict[str, Any]) -> None:
    """Read the sides from standard input, run each check of the module on each, print what came of it.

    A check that hangs ends the process, which then tells where it hung.
    """
    faulthandler.dump_traceback_later(HUNG_S, exit=True)
    sides = json.load(sys.stdin)
    for name, told in sides.items():
        models = {role: Model(**model) for role, model in told["models"].items()}
        side = Side(told["key"], told["engine"], models)
        for word, function in list(module.items()):
            if word.startswith("check_") or (word.startswith("gateway_") and told["is_gateway"]):
                sys.stdout.write(json.dumps({"side": name, "check": word} | _outcome(function, side)) + "\n")
                sys.stdout.flush()


def _outcome(function: Callable[[Side], Any], side: Side) -> dict[str, Any]:
    try:
        saw = asyncio.run(function(side)) if inspect.iscoroutinefunction(function) else function(side)
    except Exception:
        return {"passed": False, "saw": traceback.format_exc()[-1500:]}
    return {"passed": True, "saw": saw}
