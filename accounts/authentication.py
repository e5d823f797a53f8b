"""Who is asking: the one `authenticate` of the REST views, the gateway's door and the sockets.

An answer is remembered in this process for REMEMBERED_S seconds, so a revoked key, a changed role and a
deactivated person take effect everywhere within that time. Refusals are remembered apart, so that a flood of
wrong keys cannot push out the right ones.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from importlib import import_module
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest

from accounts import keys, roles
from accounts.last_used import last_used
from accounts.limits import LIMITS, KeyLimits
from accounts.models import ApiKey, User
from accounts.recent import Recent
from dpl_site.lib.clock import utc_now
from dpl_site.lib.db import Threads, call

REMEMBERED_S = 5.0
LOOKERS = 2
"""Threads that look keys up: a flood of unknown keys waits for these, and nobody else's work waits behind it."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks and what he may do now: the key's scopes that his role allows, or all of the role's."""

    user_id: int
    username: str
    role: str
    scopes: frozenset[str]
    key_id: int | None = None
    limits: KeyLimits | None = None

    def may(self, scope: str) -> bool:
        """Whether this principal has a scope."""
        return scope in self.scopes


_accepted: Recent[Principal] = Recent(ttl_s=REMEMBERED_S, capacity=4096)
_refused: Recent[bool] = Recent(ttl_s=REMEMBERED_S, capacity=4096)


def authenticate(authorization: str | None) -> Principal | None:
    """The principal of an Authorization header (`Bearer dpl_…` or `Token dpl_…`).

    None when there is no key in it, or it is unknown, revoked, expired or of an inactive person.
    """
    digest = _digest_in(authorization)
    if digest is None or _refused.get(digest):
        return None
    principal = _accepted.get(digest) or _look_up(digest)
    if principal is not None and principal.key_id is not None:
        last_used.note(principal.key_id)
    return principal


async def authenticate_async(authorization: str | None) -> Principal | None:
    """`authenticate` for async code: a remembered key costs no thread."""
    digest = _digest_in(authorization)
    if digest is None:
        return None
    if _refused.get(digest):
        return None
    # Looked at once: between two looks what is remembered may end, and the database be asked in the event loop.
    principal = _accepted.get(digest)
    if principal is None:
        principal = await _looked_up_once(digest, authorization)
    if principal is not None and principal.key_id is not None:
        last_used.note(principal.key_id)
    return principal


def principal_of_user(user: User | AnonymousUser) -> Principal | None:
    """The principal of a logged-in person; None when nobody is, or he is inactive."""
    if not isinstance(user, User) or not user.is_active or user.pk is None:
        return None
    role = role_of_user(user)
    return Principal(user.pk, user.username, role, roles.scopes_of(role))


def role_of_user(user: User) -> str:
    """A person's role, NO_ROLE when he has none."""
    if user.is_superuser:
        return roles.ADMIN
    return roles.strongest(user.groups.values_list("name", flat=True))


async def authenticate_scope(scope: Mapping[str, Any]) -> Principal | None:
    """The principal of an ASGI connection: by its key when it shows one, else by its session cookie.

    A wrong key is refused even beside a good cookie. Whoever changes something on the strength of a cookie
    checks `accounts.csrf.refusal_of_scope` (http) or the Origin (websocket) besides.
    """
    headers = {name.lower(): value for name, value in scope.get("headers", ())}
    authorization = headers.get(b"authorization", b"").decode("latin-1")
    if keys.key_in(authorization) is not None:
        return await authenticate_async(authorization)
    session_key = _session_key(headers.get(b"cookie", b"").decode("latin-1"))
    return await call(_principal_of_session, session_key) if session_key else None


_looking: dict[str, asyncio.Task[Principal | None]] = {}
"""Lookups under way. When a key is forgotten, all its requests of that moment wait for one, not for one each."""


async def _looked_up_once(digest: str, authorization: str | None) -> Principal | None:
    task = _looking.get(digest)
    if task is None or task.get_loop() is not asyncio.get_running_loop():
        task = asyncio.create_task(_lookers().call(authenticate, authorization), name="key")
        _looking[digest] = task
        task.add_done_callback(lambda _: _looking.pop(digest, None))
    # A client that leaves does not end the lookup for the others.
    return await asyncio.shield(task)


_threads: Threads | None = None


def _lookers() -> Threads:
    global _threads
    if _threads is None:
        _threads = Threads(LOOKERS, "keys")
    return _threads


def forget_key(digest: str) -> None:
    """Let this process ask the database about a key at its next use."""
    _accepted.forget(digest)
    _refused.forget(digest)


def forget_all() -> None:
    """Let this process ask the database about every key at its next use."""
    _accepted.clear()
    _refused.clear()


def _digest_in(authorization: str | None) -> str | None:
    key = keys.key_in(authorization)
    return keys.digest_of(key) if key is not None and keys.is_key(key) else None


def _look_up(digest: str) -> Principal | None:
    """The database's answer about one digest, remembered."""
    found = ApiKey.objects.filter(digest=digest, revoked_at=None, user__is_active=True)
    key = found.select_related("user").first()
    principal = principal_of_key(key) if key is not None else None
    if key is None or principal is None:
        _refused.put(digest, True)
        return None
    _accepted.put(digest, principal, at_most_s=_left_s(key))
    return principal


def principal_of_key(key: ApiKey, *, only: frozenset[str] = frozenset(roles.SCOPES)) -> Principal | None:
    """The principal of a living key, with those of its scopes that are among `only`; None when it ran out."""
    if _left_s(key) <= 0:
        return None
    role = role_of_user(key.user)
    scopes = roles.scopes_of(role) & frozenset(key.scopes) & only
    return Principal(key.user.pk, key.user.username, role, scopes, key.pk, _limits_of(key))


def _left_s(key: ApiKey) -> float:
    """For how long it is good, in seconds."""
    return float("inf") if key.expires_at is None else (key.expires_at - utc_now()).total_seconds()


def _limits_of(key: ApiKey) -> KeyLimits | None:
    return KeyLimits(*(getattr(key, name) for name in LIMITS)) or None


def _session_key(cookies: str) -> str | None:
    try:
        found = SimpleCookie(cookies).get(settings.SESSION_COOKIE_NAME)
    except CookieError:
        return None
    return found.value if found is not None else None


def _principal_of_session(session_key: str) -> Principal | None:
    request = HttpRequest()
    request.session = import_module(settings.SESSION_ENGINE).SessionStore(session_key)
    user = get_user(request)
    return principal_of_user(user) if isinstance(user, User) else None
