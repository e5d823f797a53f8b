"""What a supervisor is to keep running, as data.

Standard library only, and of that what is light: named tuples, since `dataclasses` alone would add a tenth to
the supervisor's memory.
"""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

COLOURS = {"red": 31, "green": 32, "yellow": 33, "blue": 34, "magenta": 35, "cyan": 36, "white": 37}
READY_URL = re.compile(r"http://(\d{1,3}(?:\.\d{1,3}){3}|\[[0-9a-fA-F:.]+\]|localhost):(\d{1,5})(/[!-~]*)?")


class SpecError(ValueError):
    """The spec cannot be used; the message says why. Never retryable."""


class Child(NamedTuple):
    """One process to keep running.

    `env` is added to the supervisor's own environment. The lowest `start_rank` starts first, the lowest
    `stop_rank` is stopped first, and one rank is started or stopped together. `ready_url` is asked until it
    answers 200, and the next rank waits for it, `ready_timeout_s` at most. On stop the process gets SIGTERM
    and, `grace_s` seconds later, its whole process group SIGKILL.
    """

    name: str
    argv: tuple[str, ...]
    env: dict[str, str] | None = None
    start_rank: int = 0
    stop_rank: int = 0
    grace_s: float = 10.0
    ready_url: str = ""
    ready_timeout_s: float = 60.0
    colour: str = ""


class Spec(NamedTuple):
    """All children; `banner` is printed once when all are ready; children start in `folder` ("": here)."""

    children: tuple[Child, ...]
    banner: tuple[str, ...] = ()
    folder: str = ""


def parse(text: str) -> Spec:
    """The spec in this JSON text. Raises SpecError with the child and the field that are wrong."""
    try:
        data = json.loads(text)
        children = tuple(_child(entry) for entry in data["children"])
        spec = Spec(children, tuple(map(str, data.get("banner", ()))), str(data.get("folder", "")))
    except SpecError:
        raise
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise SpecError(f"the spec cannot be read: {error!r}") from error
    names = [child.name for child in spec.children]
    if not names or len(set(names)) != len(names):
        raise SpecError("the spec needs at least one child, and a name of its own for each.")
    return spec


def _child(entry: dict[str, Any]) -> Child:
    """One child, with the types that it must have, checked."""
    child = Child(**entry)
    child = child._replace(
        argv=tuple(map(str, child.argv)),
        env={str(name): str(value) for name, value in (child.env or {}).items()},
        grace_s=float(child.grace_s),
        ready_timeout_s=float(child.ready_timeout_s),
    )
    if not child.argv or not child.name:
        raise SpecError("a child needs a name and an argv.")
    if child.ready_url and not _is_numeric_address(child.ready_url):
        raise SpecError(f"{child.name}: ready_url must be http://ADDRESS:PORT/PATH, not {child.ready_url!r}.")
    if child.colour and child.colour not in COLOURS:
        raise SpecError(f"{child.name}: colour must be one of {', '.join(COLOURS)}.")
    if min(child.grace_s, child.ready_timeout_s) < 0:
        raise SpecError(f"{child.name}: grace_s and ready_timeout_s must not be negative.")
    return child


def _is_numeric_address(url: str) -> bool:
    match = READY_URL.fullmatch(url)
    return match is not None and 0 < int(match.group(2)) < 65536


def dump(spec: Spec) -> str:
    """The JSON text that `parse` reads back."""
    return json.dumps(spec._asdict() | {"children": [child._asdict() for child in spec.children]})
