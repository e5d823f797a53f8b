"""The only writers of people and keys."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from types import MappingProxyType

from django.contrib.auth.models import Group
from django.db import IntegrityError, transaction
from django.db.models import Q

from accounts import keys, roles
from accounts.authentication import Principal, forget_all, forget_key, role_of_user
from accounts.limits import LIMITS, MOST, MOST_REQUESTS
from accounts.models import ApiKey, User
from dpl_site.lib.clock import utc_now
from dpl_site.lib.refusals import Refused

MOST_KEYS = 1000
"""Live keys of one person; a leaked key cannot fill the table."""


def key_create(
    *,
    user: User,
    name: str,
    scopes: Iterable[str] | None = None,
    expires_at: datetime | None = None,
    by: Principal | None = None,
    limits: Mapping[str, int | None] = MappingProxyType({}),
) -> tuple[ApiKey, str]:
    """A new key of a person and its plain text, which is kept nowhere.

    `scopes` are by default all that his role allows, less what `by` lacks: a key makes no key that may more
    or lives longer than itself. `limits` are by the names in `LIMITS`. Raises Refused, which names the field and
    the scope.
    """
    name = name.strip()
    if not 1 <= len(name) <= 100:
        raise _wrong("name", "Give the key a name of 1 to 100 characters.")
    allowed = roles.scopes_of(role_of_user(user))
    if by is not None and by.limits:
        raise _wrong("name", "A key with limits makes no keys: they would have limits of their own.")
    if by is not None and by.key_id is not None:
        allowed &= by.scopes
        expires_at = _bounded(expires_at, by.key_id)
    wanted = _wanted(scopes, allowed, user)
    if expires_at is not None and expires_at <= utc_now():
        raise _wrong("expires_at", "The key would already have expired. Give a moment that is to come.")
    if ApiKey.objects.filter(user=user, revoked_at=None).count() >= MOST_KEYS:
        raise _wrong("user", f"{user.username} has {MOST_KEYS} keys. Revoke some first.")
    new = keys.new_key()
    row = ApiKey.objects.create(
        user=user,
        name=name,
        prefix=new.prefix,
        digest=new.digest,
        scopes=wanted,
        expires_at=expires_at,
        **_checked(limits),
    )
    return row, new.plain


def key_limit(*, key: ApiKey, limits: Mapping[str, int | None]) -> None:
    """Set a key's limits, None for no limit; those that are not named stay. Raises Refused.

    At once in this process, within seconds in the others.
    """
    checked = _checked(limits)
    if checked:
        ApiKey.objects.filter(pk=key.pk).update(**checked)
        key.refresh_from_db(fields=list(checked))
        forget_key(key.digest)


def key_revoke(*, key: ApiKey) -> None:
    """End a key: at once in this process, within seconds in the others. A second time changes nothing."""
    ApiKey.objects.filter(pk=key.pk, revoked_at=None).update(revoked_at=utc_now())
    key.refresh_from_db(fields=["revoked_at"])
    forget_key(key.digest)


def keys_prune(*, older_than_days: int) -> int:
    """Remove the rows of keys that were revoked or ran out long ago; how many."""
    limit = utc_now() - timedelta(days=older_than_days)
    deleted, _ = ApiKey.objects.filter(Q(revoked_at__lt=limit) | Q(expires_at__lt=limit)).delete()
    return deleted


def user_create(*, username: str, password: str, role: str) -> User:
    """A person with a role. Raises Refused when the name is taken."""
    _check_role(role)
    try:
        with transaction.atomic():
            user = User.objects.create_user(username=username, password=password)
            role_set(user=user, role=role)
    except IntegrityError as error:
        raise _wrong("username", f"There is a {username} already.") from error
    return user


def role_set(*, user: User, role: str) -> None:
    """Give a person one role in place of what he had; NO_ROLE takes it.

    An admin may enter Django's admin pages too. Raises Refused when nobody would be admin any more.
    """
    if role != roles.NO_ROLE:
        _check_role(role)
    with transaction.atomic():
        if role != roles.ADMIN and is_last_admin(user):
            raise _wrong("role", f"{user.username} is the last admin. Make somebody else admin first.")
        roles_ensure()
        user.groups.remove(*Group.objects.filter(name__in=roles.ROLES))
        if role != roles.NO_ROLE:
            user.groups.add(Group.objects.get(name=role))
        user.is_staff = user.is_superuser = role == roles.ADMIN
        user.save(update_fields=["is_staff", "is_superuser"])
    forget_all()


def is_last_admin(user: User) -> bool:
    """Whether a person is an active admin and nobody else is."""
    is_admin = Q(is_superuser=True) | Q(groups__name=roles.ADMIN)
    admins = User.objects.filter(is_admin, is_active=True)
    return admins.filter(pk=user.pk).exists() and not admins.exclude(pk=user.pk).exists()


def roles_ensure(*, using: str = "default") -> None:
    """Make the groups that stand for the roles; those that are there stay as they are."""
    groups = Group.objects.using(using)
    missing = set(roles.ROLES) - set(groups.filter(name__in=roles.ROLES).values_list("name", flat=True))
    if missing:
        groups.bulk_create([Group(name=name) for name in sorted(missing)], ignore_conflicts=True)


def ensure_admin(*, username: str = "admin") -> str | None:
    """On an installation without people, an admin; gives the password, which is kept nowhere, or None."""
    if User.objects.exists():
        return None
    password = secrets.token_urlsafe(12)
    try:
        user_create(username=username, password=password, role=roles.ADMIN)
    except Refused:
        # Another process made him between the question and now.
        return None
    return password


def _wanted(scopes: Iterable[str] | None, allowed: frozenset[str], user: User) -> list[str]:
    if scopes is None:
        scopes = allowed
    chosen = set(scopes)
    unknown = sorted(chosen - set(roles.SCOPES))
    if unknown:
        raise _wrong("scopes", f"There is no scope {unknown[0]!r}. The scopes are {', '.join(roles.SCOPES)}.")
    beyond = roles.in_order(chosen - allowed)
    if beyond:
        may = ", ".join(roles.in_order(allowed)) or "nothing"
        raise _wrong(
            "scopes", f"The scope {beyond[0]!r} is not allowed here: {user.username} may give {may}."
        )
    if not allowed:
        raise _wrong(
            "scopes", f"{user.username} has no role, so a key would allow nothing. Give a role first."
        )
    if not chosen:
        raise _wrong("scopes", f"Choose at least one scope of {', '.join(roles.in_order(allowed))}.")
    return roles.in_order(chosen)


def _checked(limits: Mapping[str, int | None]) -> dict[str, int | None]:
    for name, limit in limits.items():
        most = MOST if name.startswith("tokens") else MOST_REQUESTS
        if name not in LIMITS:
            raise _wrong(name, f"There is no limit {name!r}. The limits are {', '.join(LIMITS)}.")
        if limit is not None and not 1 <= limit <= most:
            raise _wrong(name, f"{name} must be 1 to {most}, or nothing for no limit.")
    return dict(limits)


def _bounded(expires_at: datetime | None, key_id: int) -> datetime | None:
    """The asked-for end, or the end of the key that asks when that is sooner."""
    limit = ApiKey.objects.values_list("expires_at", flat=True).filter(pk=key_id).first()
    return min(filter(None, (expires_at, limit)), default=None)


def _check_role(role: str) -> None:
    if role not in roles.ROLES:
        raise _wrong("role", f"There is no role {role!r}. The roles are {', '.join(roles.ROLES)}.")


def _wrong(field: str, message: str) -> Refused:
    return Refused(message, code="invalid", status=400, detail={field: [message]})
