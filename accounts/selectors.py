"""Reads of people and keys."""

from __future__ import annotations

from django.db.models import QuerySet

from accounts import keys
from accounts.authentication import Principal
from accounts.models import ApiKey


def keys_of(principal: Principal, *, username: str | None = None) -> QuerySet[ApiKey]:
    """The keys that a principal may see, newest first: his own, with the admin scope everybody's."""
    found = ApiKey.objects.select_related("user").order_by("-created_at", "-id")
    if not principal.may("admin"):
        found = found.filter(user_id=principal.user_id)
    return found.filter(user__username=username) if username else found


def keys_named(reference: str) -> list[ApiKey]:
    """The keys that an id or the beginning of a key (`dpl_…`, the whole key too) means."""
    found = ApiKey.objects.select_related("user")
    if keys.is_key(reference):
        return list(found.filter(digest=keys.digest_of(reference)))
    if reference.startswith(keys.MARK):
        return list(found.filter(prefix__startswith=reference))
    is_id = reference.isdecimal() and len(reference) <= 18
    return list(found.filter(pk=int(reference))) if is_id else []
