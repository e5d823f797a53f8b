"""Who comes from a network that stands for a key (DPL_CIDR_KEYS): for programs on it that cannot send one."""

from __future__ import annotations

import ipaddress
import logging
from functools import lru_cache

from django.conf import settings

from accounts import keys
from accounts.authentication import REMEMBERED_S, Principal, principal_of_key
from accounts.last_used import last_used
from accounts.models import ApiKey
from accounts.recent import Recent
from dpl_site.lib.db import call

SCOPES = frozenset({"read", "chat"})
"""What a network may do at most: it is nobody in particular, so it changes nothing."""

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_known: Recent[Principal] = Recent(ttl_s=REMEMBERED_S, capacity=256)
_unknown: Recent[bool] = Recent(ttl_s=REMEMBERED_S, capacity=256)

logger = logging.getLogger(__name__)


def key_name_for(*, address: str | None, authorization: str | None, origin: str | None) -> str | None:
    """The name of the key that a request from this address may use; None for most.

    Never for one that shows a key of DPL's, right or wrong; what other text clients send in its place (`ollama`)
    is passed over. Never for a web page of elsewhere: a browser would lend it the address of its own machine.
    """
    if not settings.DPL_CIDR_KEYS or not address:
        return None
    shown = keys.key_in(authorization)
    if (shown or "").startswith(keys.MARK) or not _may_come_from(origin):
        return None
    return _name_of(tuple(settings.DPL_CIDR_KEYS), address)


def principal_of_network(name: str) -> Principal | None:
    """The principal of a network's key; None while there is not exactly one living key of that name."""
    principal = _known.get(name) or (None if _unknown.get(name) else _look_up(name))
    if principal is not None and principal.key_id is not None:
        last_used.note(principal.key_id)
    return principal


async def principal_of_network_async(name: str) -> Principal | None:
    """The same for async code: a remembered key costs no thread."""
    principal = _known.get(name)
    if principal is None:
        return await call(principal_of_network, name)
    if principal.key_id is not None:
        last_used.note(principal.key_id)
    return principal


def forget_networks() -> None:
    """Let this process ask the database about every network at its next use."""
    _known.clear()
    _unknown.clear()


def _look_up(name: str) -> Principal | None:
    rows = ApiKey.objects.filter(name=name, revoked_at=None, user__is_active=True).select_related("user")[:2]
    principal = principal_of_key(rows[0], only=SCOPES) if len(rows) == 1 else None
    if principal is None:
        logger.warning("DPL_CIDR_KEYS: there are %s living keys called %s, not one", len(rows), name)
        _unknown.put(name, True)
        return None
    _known.put(name, principal)
    return principal


def _may_come_from(origin: str | None) -> bool:
    return not origin or bool({origin, "*"} & set(settings.DPL_CORS_ORIGINS))


@lru_cache(maxsize=4096)
def _name_of(entries: tuple[tuple[str, str], ...], address: str) -> str | None:
    """The key of the narrowest network that holds the address."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return None
    nets = [(ipaddress.ip_network(text), name) for text, name in entries]
    holding: list[tuple[_Network, str]] = [(net, name) for net, name in nets if found in net]
    return max(holding, key=lambda one: one[0].prefixlen)[1] if holding else None
