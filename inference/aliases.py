"""The only writer of aliases, for the page of models: other names under which clients may ask for a model."""

from __future__ import annotations

from django.db import IntegrityError, transaction

from dpl_site.lib.refusals import Refused
from inference.models import ModelAlias


def alias_put(*, alias: str, model: str, alias_id: int = 0) -> ModelAlias:
    """Add an alias, or change the one with this id; the names are checked by the form. Raises Refused."""
    row = _one(alias_id) if alias_id else ModelAlias()
    row.alias, row.model = alias, model
    try:
        with transaction.atomic():
            row.save()
    except IntegrityError as error:
        raise Refused(f"{alias} is an alias already. Change that one.", code="duplicate") from error
    return row


def alias_remove(*, alias_id: int) -> None:
    """Remove an alias; one that is gone already is gone."""
    ModelAlias.objects.filter(pk=alias_id).delete()


def _one(alias_id: int) -> ModelAlias:
    row = ModelAlias.objects.filter(pk=alias_id).first()
    if row is None:
        raise Refused("This alias is gone. Add it anew.", status=404)
    return row
