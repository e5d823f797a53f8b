"""Reads of people, keys and usage."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date
from types import MappingProxyType
from typing import Any

from django.db.models import Max, Q, QuerySet, Sum

from accounts import keys
from accounts.authentication import Principal
from accounts.models import ApiKey, UsageDay, User


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


USAGE_GROUPS = MappingProxyType(
    {
        "day": "day",
        "user": "user_id",
        "key": "key_id",
        "model": "model",
        "node": "node_id",
        "source": "source",
    }
)
"""What usage can be summed up by, and the column of each."""
USAGE_SUMS = ("requests", "failed", "cancelled", "prompt_tokens", "completion_tokens")


@dataclass(frozen=True, slots=True)
class UsageFilter:
    """Which usage is asked for; None and empty: all. Days are inclusive."""

    since: date | None = None
    until: date | None = None
    user: str = ""
    key_id: int | None = None
    model: str | None = None
    node: str = ""
    source: tuple[str, ...] = ()


def usage_of(principal: Principal, wanted: UsageFilter) -> QuerySet[UsageDay]:
    """The sums that a principal may see: his own, with the admin scope everybody's."""
    found = UsageDay.objects.all()
    if not principal.may("admin"):
        found = found.filter(user_id=principal.user_id)
    if wanted.since is not None:
        found = found.filter(day__gte=wanted.since)
    if wanted.until is not None:
        found = found.filter(day__lte=wanted.until)
    if wanted.user:
        found = found.filter(user_id__in=people_named(wanted.user))
    if wanted.key_id is not None:
        found = found.filter(key_id=wanted.key_id)
    if wanted.model is not None:
        found = found.filter(model=wanted.model)
    if wanted.node:
        is_id = wanted.node.isascii() and wanted.node.isdigit() and len(wanted.node) <= 18
        found = found.filter(Q(node_name=wanted.node) | Q(node_id=int(wanted.node) if is_id else -1))
    return found.filter(source__in=wanted.source) if wanted.source else found


def usage_grouped(found: QuerySet[UsageDay], group_by: Sequence[str]) -> QuerySet[UsageDay, dict[str, Any]]:
    """The sums summed up by these groups, the latest day first."""
    columns = [USAGE_GROUPS[name] for name in group_by]
    order = [f"-{column}" if column == "day" else column for column in columns]
    sums = {f"sum_{name}": Sum(name) for name in USAGE_SUMS}
    name = {"last_node_name": Max("node_name")} if "node" in group_by else {}
    rows: QuerySet[UsageDay, dict[str, Any]] = found.order_by().values(*columns)
    grouped: QuerySet[UsageDay, dict[str, Any]] = rows.annotate(**sums, **name).order_by(*order)
    return grouped


def usage_total(found: QuerySet[UsageDay]) -> dict[str, int]:
    """Everything in one sum."""
    sums = found.order_by().aggregate(**{f"sum_{name}": Sum(name) for name in USAGE_SUMS})
    return {name: sums[f"sum_{name}"] or 0 for name in USAGE_SUMS}


def models_used(*, since: date) -> list[tuple[str, int, date, int]]:
    """(model, node id, the last day, requests) since a day, by everybody; only what some engine had."""
    rows = UsageDay.objects.filter(day__gte=since).exclude(model="").order_by()
    found = rows.values_list("model", "node_id").annotate(last=Max("day"), count=Sum("requests"))
    return [(model, node_id, last, count) for model, node_id, last, count in found]


def people_named(reference: str) -> list[int]:
    """The ids of the people whom a name, or else an id, means; none or one."""
    named = list(User.objects.filter(username=reference).values_list("id", flat=True))
    is_id = reference.isascii() and reference.isdigit() and len(reference) <= 18
    return named or ([int(reference)] if is_id else [])


def names_of(user_ids: Collection[int], key_ids: Collection[int]) -> tuple[dict[int, str], dict[int, str]]:
    """Usernames and names of keys by their ids."""
    people = dict(User.objects.filter(id__in=user_ids).values_list("id", "username"))
    return people, dict(ApiKey.objects.filter(id__in=key_ids).values_list("id", "name"))
