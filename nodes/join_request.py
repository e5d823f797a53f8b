"""What an agent says of its machine when it joins, read from its JSON. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dpl_site.lib.refusals import Refused
from nodes.answers import clean

MAX_NAME = 100
MAX_ENGINES = 16
_MACHINE_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")


@dataclass(frozen=True, slots=True)
class FoundEngine:
    """An engine that the agent found on its machine, by the address at which the machine itself reaches it."""

    base_url: str
    kind: str


@dataclass(frozen=True, slots=True)
class JoinRequest:
    """A machine that wants to be a node. `name` is what it wants to be called, empty: as its host."""

    token: str
    name: str
    hostname: str
    machine_id: str
    port: int
    agent_version: str
    os: str
    engines: tuple[FoundEngine, ...]


def parse_join(told: Mapping[str, Any]) -> JoinRequest:
    """The request that a JSON object is. Raises Refused (400), which names the field."""
    hostname = _text(told, "hostname", needed=True)
    return JoinRequest(
        token=_text(told, "token", needed=True, most=200),
        name=_text(told, "name"),
        hostname=hostname,
        machine_id=_machine_id(told),
        port=_port(told),
        agent_version=_text(told, "agent_version"),
        os=_text(told, "os", most=300),
        engines=_engines(told),
    )


def _text(told: Mapping[str, Any], field: str, *, needed: bool = False, most: int = MAX_NAME) -> str:
    value = told.get(field)
    text = (clean(value) or "").strip()
    if value is not None and (not isinstance(value, str) or len(text) > most):
        raise _wrong(field, f"{field} is a text of at most {most} characters.")
    if needed and not text:
        raise _wrong(field, f"{field} is missing.")
    return text


def _machine_id(told: Mapping[str, Any]) -> str:
    text = _text(told, "machine_id", needed=True)
    if not _MACHINE_ID.fullmatch(text):
        raise _wrong("machine_id", "machine_id is 8 to 64 letters, digits, dots and dashes, such as a UUID.")
    return text


def _port(told: Mapping[str, Any]) -> int:
    value = told.get("port")
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 65535:
        raise _wrong("port", "port is the agent's port, a number from 1 to 65535.")
    return value


def _engines(told: Mapping[str, Any]) -> tuple[FoundEngine, ...]:
    value = told.get("engines")
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise _wrong("engines", 'engines is a list of {"base_url", "kind"}.')
    found = [FoundEngine(_text(one, "base_url", most=500), _text(one, "kind")) for one in value[:MAX_ENGINES]]
    return tuple(one for one in dict.fromkeys(found) if one.base_url)


def _wrong(field: str, message: str) -> Refused:
    return Refused(message, code="invalid", status=400, detail={field: [message]})
