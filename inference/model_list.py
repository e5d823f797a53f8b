"""The fleet's models as their page and `/api/v1/models/` show them: where each is, what it can, when it was used.

What is used by anybody counts here, without telling by whom: it decides what may be unloaded.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TypedDict

from accounts.selectors import models_used
from dpl_site.lib.clock import iso, utc_now
from inference.catalog import FleetModel, Place
from inference.model_names import short_name
from inference.models import Engine, RequestLog

USED_DAYS = 30
RECENT = 2_000
"""Among so many latest requests the very moment is looked for; before, the day is known."""


class UsedView(TypedDict):
    """When something was used: the moment where it is known, the day, and how often in the last 30 days."""

    last_used_at: str | None
    last_used_on: str | None
    requests: int


class PlaceView(UsedView):
    """A model on one engine."""

    id: int
    name: str
    resident: bool
    size_bytes: int | None
    engine: int
    kind: str
    loaded_context: int | None
    can_unload: bool


class ModelRowView(UsedView):
    """A model of the fleet."""

    name: str
    resident: bool
    aliases: list[str]
    size_bytes: int | None
    context_length: int | None
    abilities: list[str]
    nodes: list[PlaceView]


@dataclass(slots=True)
class Use:
    """When and how often."""

    at: datetime | None = None
    on: date | None = None
    requests: int = 0

    def view(self) -> UsedView:
        """As clients see it."""
        on = self.on.isoformat() if self.on else None
        return {
            "last_used_at": iso(self.at) if self.at else None,
            "last_used_on": on,
            "requests": self.requests,
        }


_Uses = dict[tuple[str, int], Use]
"""(model by its short name, node id) → its use."""


def model_views(models: Sequence[FleetModel]) -> list[ModelRowView]:
    """These models, with their use read once for all."""
    uses = _uses() if models else {}
    return [_model(one, uses) for one in models]


def _model(model: FleetModel, uses: _Uses) -> ModelRowView:
    short = short_name(model.name)
    return {
        "name": model.name,
        "resident": model.is_resident,
        "aliases": sorted(model.aliases),
        "size_bytes": model.size_bytes,
        "context_length": model.context_length,
        "abilities": list(model.abilities),
        "nodes": [_place(place, uses.get((short, place.node_id), Use())) for place in model.places],
        **_together(use for (name, _node), use in uses.items() if name == short).view(),
    }


def _place(place: Place, use: Use) -> PlaceView:
    return {
        "id": place.node_id,
        "name": place.node_name,
        "resident": place.is_resident,
        "size_bytes": place.size_bytes,
        "engine": place.engine_id,
        "kind": place.kind,
        "loaded_context": place.loaded_context,
        "can_unload": place.kind == Engine.Kind.OLLAMA,
        **use.view(),
    }


def _uses() -> _Uses:
    uses: _Uses = {}
    for model, node_id, on, requests in models_used(since=utc_now().date() - timedelta(days=USED_DAYS)):
        use = uses.setdefault((short_name(model), node_id), Use())
        use.on, use.requests = max(use.on or on, on), use.requests + requests
    for model, node_id, at in _recent():
        # The first that comes is the latest.
        use = uses.setdefault((short_name(model), node_id), Use())
        use.at = use.at or at
        if use.on is None or use.on < use.at.date():
            use.on = use.at.date()
    for use in uses.values():
        # A job came after the last request: then the day alone is known.
        if use.at and use.on and use.on > use.at.date():
            use.at = None
    return uses


def _recent() -> list[tuple[str, int, datetime]]:
    rows = RequestLog.objects.order_by("-id").values_list("model", "node_id", "at")[:RECENT]
    return [(model, node_id, at) for model, node_id, at in rows if model and node_id is not None]


def _together(uses: Iterable[Use]) -> Use:
    whole = Use()
    for use in uses:
        whole.at = max(filter(None, (whole.at, use.at)), default=None)
        whole.on = max(filter(None, (whole.on, use.on)), default=None)
        whole.requests += use.requests
    if whole.at and whole.on and whole.on > whole.at.date():
        whole.at = None
    return whole
