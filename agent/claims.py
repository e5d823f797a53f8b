"""What a body of /lock and /unlock may say, and the words for what it may not. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NoReturn

from agent.lock import DEFAULT_TTL_S, MAX_TTL_S, MIN_TTL_S, Claim

_LONGEST = {"id": 200, "owner": 200, "installation": 200, "reason": 1000}


class BadRequestError(Exception):
    """The caller's body is at fault; the text says what is wrong and what would be right."""


@dataclass(frozen=True)
class Release:
    """A request to free the machine."""

    id: str
    installation: str | None
    force: bool


def parse_body(raw: bytes) -> Mapping[str, object]:
    """The JSON object in a request's body; nothing at all counts as an empty object."""
    if not raw.strip():
        return {}
    try:
        body = json.loads(raw.decode("utf-8"), parse_constant=_refuse_constant)
    except UnicodeDecodeError:
        raise BadRequestError("the body is not UTF-8; send JSON in UTF-8") from None
    except RecursionError:
        raise BadRequestError("the body is nested too deeply; send one flat JSON object") from None
    except ValueError as error:
        raise BadRequestError(f"the body is not JSON: {error}") from None
    if not isinstance(body, dict):
        raise BadRequestError(f"the body must be a JSON object, not {_kind(body)}")
    return body


def parse_claim(body: Mapping[str, object], caller: str) -> Claim:
    """A lock request; one without an id belongs to the caller's address, so the same address renews it."""
    return Claim(
        id=_text(body, "id") or anonymous_id(caller),
        caller=caller,
        owner=_text(body, "owner"),
        installation=_text(body, "installation"),
        reason=_text(body, "reason"),
        ttl_s=_ttl(body.get("ttl_s")),
    )


def parse_release(body: Mapping[str, object], caller: str) -> Release:
    """An unlock request; one without an id speaks for the lock that the caller's address took without one."""
    force = body.get("force", False)
    if not isinstance(force, bool):
        raise BadRequestError(f"force must be true or false, not {_kind(force)}")
    return Release(
        id=_text(body, "id") or anonymous_id(caller),
        installation=_text(body, "installation"),
        force=force,
    )


def anonymous_id(caller: str) -> str:
    """The lock id of somebody who gave none: told apart by address alone."""
    return f"address:{caller}"


def _text(body: Mapping[str, object], name: str) -> str | None:
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, str):
        raise BadRequestError(f"{name} must be a string, not {_kind(value)}")
    if len(value) > _LONGEST[name]:
        raise BadRequestError(f"{name} has {len(value)} characters; at most {_LONGEST[name]} are kept")
    return value or None


def _ttl(value: object) -> float:
    if value is None:
        return DEFAULT_TTL_S
    allowed = f"a number of seconds from {MIN_TTL_S:.0f} to {MAX_TTL_S:.0f}"
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadRequestError(f"ttl_s must be {allowed}, not {_kind(value)}")
    if not MIN_TTL_S <= value <= MAX_TTL_S:
        raise BadRequestError(f"ttl_s must be {allowed}")
    return float(value)


def _kind(value: object) -> str:
    if value is None:
        return "null"
    names = {bool: "a boolean", int: "a number", float: "a number", str: "a string", list: "an array"}
    return names.get(type(value), "an object")


def _refuse_constant(name: str) -> NoReturn:
    raise BadRequestError(f"the body is not JSON: {name} is no JSON number")
