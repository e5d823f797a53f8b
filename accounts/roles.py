"""Who may do what: roles, scopes, and which role has which. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from types import MappingProxyType

SCOPES = ("read", "chat", "datasets", "admin")
"""What a key or a session may be used for; docs name them in this order."""

VIEWER, OPERATOR, ADMIN = "viewer", "operator", "admin"
NO_ROLE = ""
"""The role of a person whom no admin has given one yet: it allows nothing."""

SCOPES_OF = MappingProxyType(
    {
        VIEWER: frozenset({"read"}),
        OPERATOR: frozenset({"read", "chat", "datasets"}),
        ADMIN: frozenset(SCOPES),
    }
)
ROLES = tuple(SCOPES_OF)
"""Weakest first. Each is also the name of a Django group."""


def scopes_of(role: str) -> frozenset[str]:
    """Everything that a role allows; nothing for a role that is none."""
    return SCOPES_OF.get(role, frozenset())


def strongest(names: Iterable[str]) -> str:
    """The strongest role among group names, NO_ROLE when none of them is a role."""
    held = set(names)
    return next((role for role in reversed(ROLES) if role in held), NO_ROLE)


def in_order(scopes: Iterable[str]) -> list[str]:
    """Scopes in the order in which people read them; what is no scope is left out."""
    held = set(scopes)
    return [scope for scope in SCOPES if scope in held]
