"""Which models the fleet has: each name once, with the nodes where it is, resident or on the disk."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace

from inference.model_names import same_model, short_name
from inference.models import Engine, EngineModel
from inference.selectors import aliases


@dataclass(frozen=True, slots=True)
class Place:
    """A model on one engine of one node. `loaded_context` is the context that it was loaded with, in tokens."""

    node_id: int
    node_name: str
    is_resident: bool
    size_bytes: int | None
    engine_id: int = 0
    kind: str = ""
    loaded_context: int | None = None


@dataclass(frozen=True, slots=True)
class FleetModel:
    """One model of the fleet; sizes in bytes, the context in tokens, None where no engine says.

    `abilities` are what Ollama's clients ask for before they send tools or pictures; `tells_abilities` is false
    where no engine says them, so that what is missing there is unknown.
    """

    name: str
    places: tuple[Place, ...]
    size_bytes: int | None
    context_length: int | None
    can_generate: bool
    abilities: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    tells_abilities: bool = True

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
        .select_related("engine__node", "engine__status")
        .order_by("name", "engine_id")
    )
    found: dict[str, list[EngineModel]] = defaultdict(list)
    for row in rows:
        found[short_name(row.name)].append(row)
    other = _aliases()
    return [replace(_model(group), aliases=tuple(other[short])) for short, group in found.items()]


def fleet_model(name: str) -> FleetModel | None:
    """The model of that name or alias, as Ollama reads names: without a tag it means `latest`."""
    models = fleet_models()
    known_as = {alias: model for model in models for alias in model.aliases}
    return known_as.get(name) or next((one for one in models if same_model(name, one.name)), None)


def _aliases() -> dict[str, list[str]]:
    """Model, by its short name → its other names."""
    found: dict[str, list[str]] = defaultdict(list)
    for alias, model in aliases().items():
        found[short_name(model)].append(alias)
    return found


def _model(rows: list[EngineModel]) -> FleetModel:
    """One model out of all that means it: engines write `llama3` and `llama3:latest` for the same."""
    return FleetModel(
        name=max((row.name for row in rows), key=len),
        places=tuple(_place(row) for row in rows),
        size_bytes=next((row.size_bytes for row in rows if row.size_bytes is not None), None),
        context_length=next((row.context_length for row in rows if row.context_length is not None), None),
        can_generate=any(row.can_generate for row in rows),
        abilities=_abilities(rows),
        tells_abilities=any(row.abilities for row in rows),
    )


def _place(row: EngineModel) -> Place:
    return Place(
        node_id=row.engine.node_id,
        node_name=row.engine.node.name,
        is_resident=row.is_resident,
        size_bytes=row.size_bytes,
        engine_id=row.engine_id,
        kind=row.engine.kind or row.engine.status.kind,
        loaded_context=row.loaded_context if row.is_resident else None,
    )


def _abilities(rows: list[EngineModel]) -> tuple[str, ...]:
    """What some engine says that the model can. Engines of OpenAI's kind do not say, and take tools."""
    told = [word for row in rows for word in row.abilities.split(",") if word]
    for row in rows:
        if not row.abilities:
            told += ["completion"] if row.can_generate else ["embedding"]
            told += ["tools"] if row.engine.kind == Engine.Kind.OPENAI else []
    return tuple(dict.fromkeys(told))


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
        known = next((one for one in (name, f"{name}:latest", short_name(name)) if one in found), name)
        was_resident = found.pop(known, False)
        found[max(known, name, key=len)] = was_resident or bool(is_resident and is_online)
    return sorted(found.items(), key=lambda one: (not one[1], one[0]))
