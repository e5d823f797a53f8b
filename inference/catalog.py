"""Which models the fleet has: each name once, with the nodes where it is, resident or on the disk."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace

from inference.models import EngineModel
from inference.selectors import aliases


@dataclass(frozen=True, slots=True)
class Place:
    """A model on one node."""

    node_id: int
    node_name: str
    is_resident: bool
    size_bytes: int | None


@dataclass(frozen=True, slots=True)
class FleetModel:
    """One model of the fleet; sizes in bytes, the context in tokens, None where no engine says."""

    name: str
    places: tuple[Place, ...]
    size_bytes: int | None
    context_length: int | None
    can_generate: bool
    aliases: tuple[str, ...] = ()

    @property
    def is_resident(self) -> bool:
        """Whether some engine has it loaded now."""
        return any(place.is_resident for place in self.places)


def fleet_models() -> list[FleetModel]:
    """The models of engines that are online, by name."""
    rows = (
        EngineModel.objects.filter(
            engine__archived_at__isnull=True,
            engine__is_enabled=True,
            engine__node__archived_at__isnull=True,
            engine__status__is_online=True,
        )
        .select_related("engine__node")
        .order_by("name", "engine_id")
    )
    found: dict[str, list[EngineModel]] = defaultdict(list)
    for row in rows:
        found[row.name].append(row)
    other = _aliases()
    return [replace(_model(name, group), aliases=tuple(other[name])) for name, group in found.items()]


def fleet_model(name: str) -> FleetModel | None:
    """The model of that name or alias, as Ollama reads names: without a tag it means `latest`."""
    models: dict[str, FleetModel] = {}
    for model in fleet_models():
        models |= dict.fromkeys(model.aliases, model)
        models.setdefault(model.name, model)
    return models.get(name) or models.get(f"{name}:latest")


def _aliases() -> dict[str, list[str]]:
    """Model → its other names. One that means `llama3` means `llama3:latest`, as Ollama has it."""
    found: dict[str, list[str]] = defaultdict(list)
    for alias, model in aliases().items():
        found[model].append(alias)
        if ":" not in model:
            found[f"{model}:latest"].append(alias)
    return found


def _model(name: str, rows: list[EngineModel]) -> FleetModel:
    places = tuple(
        Place(row.engine.node_id, row.engine.node.name, row.is_resident, row.size_bytes) for row in rows
    )
    return FleetModel(
        name=name,
        places=places,
        size_bytes=next((row.size_bytes for row in rows if row.size_bytes is not None), None),
        context_length=next((row.context_length for row in rows if row.context_length is not None), None),
        can_generate=any(row.can_generate for row in rows),
    )


def models_there_are() -> list[tuple[str, bool]]:
    """Names of models that generate, each with whether it is resident on an engine that is online; those first."""
    rows = EngineModel.objects.filter(
        can_generate=True,
        engine__archived_at__isnull=True,
        engine__is_enabled=True,
        engine__node__archived_at__isnull=True,
    ).values_list("name", "is_resident", "engine__status__is_online")
    found: dict[str, bool] = {}
    for name, is_resident, is_online in rows:
        found[name] = found.get(name, False) or bool(is_resident and is_online)
    return sorted(found.items(), key=lambda one: (not one[1], one[0]))
