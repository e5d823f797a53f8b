"""Who leads: one holder at a time by the database's clock, with an epoch that each of its writes checks."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q

from dpl_site.lib.db import NowMs
from nodes.models import Leadership, ProcessInstance

TTL_MS = 5_000


class NotLeading(Exception):
    """Another process leads now: what was about to be written must not be."""


def campaign(*, name: str, instance_id: uuid.UUID) -> int | None:
    """Take or renew the lead: its epoch, or None while another holds it.

    A lead ends with its TTL or with its holder's instance, whichever is first.
    """
    Leadership.objects.get_or_create(name=name)
    held = Leadership.objects.filter(name=name, holder=instance_id, expires_ms__gt=NowMs())
    if held.update(expires_ms=NowMs() + TTL_MS):
        return Leadership.objects.values_list("epoch", flat=True).get(name=name)
    free = Leadership.objects.filter(name=name).filter(Q(expires_ms__lte=NowMs()) | _holder_is_dead())
    if free.update(holder=instance_id, epoch=F("epoch") + 1, expires_ms=NowMs() + TTL_MS):
        return Leadership.objects.values_list("epoch", flat=True).get(name=name)
    return None


def resign(*, name: str, instance_id: uuid.UUID) -> None:
    """Give the lead back, so that a stand-by takes over at once."""
    Leadership.objects.filter(name=name, holder=instance_id).update(expires_ms=0)


@contextmanager
def leading(*, name: str, epoch: int) -> Iterator[None]:
    """A transaction that commits only while this epoch leads. Raises NotLeading otherwise."""
    with transaction.atomic():
        if not Leadership.objects.filter(name=name, epoch=epoch).update(expires_ms=NowMs() + TTL_MS):
            raise NotLeading(f"{name}: epoch {epoch} is over")
        yield


def _holder_is_dead() -> Q:

    living = ProcessInstance.objects.filter(id=OuterRef("holder"), expires_ms__gt=NowMs())
    return ~Q(Exists(living))
