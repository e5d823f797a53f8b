"""Writes what was seen of the fleet: states, residency and slots of engines, then the nodes as a whole.

The breaker is not touched here: only live traffic opens and closes it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from django.db import transaction
from django.db.models import Count, Max

from dpl_site.lib.clock import utc_now
from inference.models import Engine, EngineModel, EngineSpeed, EngineStatus, Slot
from inference.probe import EngineSeen, FleetReading, MachineSeen
from inference.readings import ModelSeen
from inference.slots import sync_slots
from inference.targets import live_engines
from nodes.answers import clean
from nodes.pushed import take
from nodes.selectors import live_nodes
from nodes.services import NOT_ASKED, NodeSeen, record_nodes
from nodes.states import Seen

LATELY = timedelta(seconds=3)
"""A generation that ended within this time proves that an engine lives, though it did not answer in time."""
_WRITTEN = ("kind", "is_online", "reason", "since", "probed_at", "server", "slots", "chat_path_missing")
_COLUMNS = ("is_resident", "size_bytes", "context_length", "can_generate", "loaded_context", "abilities")
MAX_SLOTS = 1024


@dataclass(frozen=True, slots=True)
class _Known:
    """A live engine, what was known of it, and what came of asking it now (None: it was not asked)."""

    engine: Engine
    status: EngineStatus
    is_new: bool
    seen: EngineSeen | None


@dataclass(frozen=True, slots=True)
class _Asked:
    """An engine that was asked and is still the one that was."""

    engine: Engine
    status: EngineStatus
    is_new: bool
    seen: EngineSeen


@dataclass(frozen=True, slots=True)
class _Machine:
    """A live node: its agent's address now, whether it has one (that may push instead), and what was seen."""

    address: str
    has_agent: bool
    seen: MachineSeen


def record_fleet(*, reading: FleetReading) -> set[int]:
    """Write a reading of all nodes, or of some or a part of one, in one transaction.

    What people changed or removed since it was asked stays as they left it. Gives the ids of the nodes that
    changed; there is news of each, and of the tick.
    """
    with transaction.atomic():
        nodes = _current_nodes(reading)
        known = _current_engines(nodes)
        asked = [_Asked(one.engine, one.status, one.is_new, one.seen) for one in known if one.seen]
        alive = _lately_alive(asked)
        changed = [one for one in asked if _apply(one, {} if one.engine.id in alive else _found(one))]
        _write(asked, changed)
        nodes_changed = {one.engine.node_id for one in changed} | _record_models(asked)
        _record_slots(asked)
        take(row_ids=[node.pushed_id for node in reading.nodes if node.pushed_id])
        return record_nodes(seen=_seen(nodes, known, nodes_changed))


def _current_nodes(reading: FleetReading) -> dict[int, _Machine]:
    """Node id → its agent now, and what was seen of it; by id."""
    seen = {node.node_id: node for node in reading.nodes}
    rows = live_nodes().filter(id__in=seen).order_by("id")
    agents = rows.values_list("id", "monitor_base_url", "agent_token_hash")
    return {
        node_id: _Machine(address, bool(address or token_hash), seen[node_id])
        for node_id, address, token_hash in agents
    }


def _current_engines(nodes: Mapping[int, _Machine]) -> list[_Known]:
    seen = {one.engine_id: one for node in nodes.values() for one in node.seen.engines}
    rows = live_engines(node_ids=nodes).filter(is_enabled=True).order_by("id").defer("api_key")
    engines = {row.id: row for row in rows}
    statuses = EngineStatus.objects.select_for_update().filter(engine_id__in=engines).order_by("engine_id")
    known = {status.engine_id: status for status in statuses}
    return [
        _Known(
            engine,
            known.get(engine.id) or EngineStatus(engine_id=engine.id, reason=NOT_ASKED),
            engine.id not in known,
            _if_same(engine, seen.get(engine.id)),
        )
        for engine in engines.values()
    ]


def _if_same(engine: Engine, seen: EngineSeen | None) -> EngineSeen | None:
    return seen if seen is not None and seen.generation == engine.generation else None


def _lately_alive(asked: Iterable[_Asked]) -> set[int]:
    """Those engines that did not answer in time but finished a generation lately: busy, not dead."""
    late = [one.engine.id for one in asked if one.seen.is_timeout and one.status.is_online]
    if not late:
        return set()
    finished = EngineSpeed.objects.filter(engine_id__in=late, updated_at__gt=utc_now() - LATELY)
    return set(finished.values_list("engine_id", flat=True))


def _found(one: _Asked) -> dict[str, Any]:
    """The columns of an engine's status that follow from what was seen."""
    seen, status, reading = one.seen, one.status, one.seen.reading
    found: dict[str, Any] = {"is_online": seen.is_online, "reason": (clean(seen.problem) or "")[:300]}
    if reading is None or not seen.is_online:
        return found
    server = (clean(reading.server) or "")[:100] or status.server
    # Only live traffic knows of a missing path, until another server answers.
    knew_it = status.chat_path_missing and server == status.server
    return found | {
        "kind": one.engine.kind or reading.kind,
        "server": server,
        "slots": min(reading.slots if seen.is_detected else reading.slots or status.slots, MAX_SLOTS),
        "chat_path_missing": reading.chat_path_missing or knew_it,
    }


def _apply(one: _Asked, found: dict[str, Any]) -> bool:
    """Put what was found into the engine's status; whether it says anything else now."""
    status = one.status
    status.probed_at = utc_now()
    if one.is_new or found.get("is_online", status.is_online) != status.is_online:
        status.since = status.probed_at
    is_changed = one.is_new or any(getattr(status, name) != value for name, value in found.items())
    for name, value in found.items():
        setattr(status, name, value)
    return is_changed


def _write(asked: Sequence[_Asked], changed: Sequence[_Asked]) -> None:
    if changed:
        EngineStatus.objects.bulk_create(
            [one.status for one in changed],
            update_conflicts=True,
            unique_fields=["engine"],
            update_fields=_WRITTEN,
        )
    same = {one.engine.id for one in asked} - {one.engine.id for one in changed}
    if same:
        EngineStatus.objects.filter(engine_id__in=same).update(probed_at=utc_now())


def _record_models(asked: Sequence[_Asked]) -> set[int]:
    """Make the rows of each engine that answered say which models it has; the nodes where that changed."""
    told = {
        one.engine.id: _by_name(one.seen.reading.models)
        for one in asked
        if one.seen.reading is not None and one.seen.is_online
    }
    rows: dict[int, dict[str, EngineModel]] = defaultdict(dict)
    for row in EngineModel.objects.filter(engine_id__in=told):
        rows[row.engine_id][row.name] = row
    new, gone, other = [], [], []
    for engine_id, models in told.items():
        known = rows[engine_id]
        new += [_row(engine_id, model) for name, model in models.items() if name not in known]
        gone += [row for name, row in known.items() if name not in models]
        other += [row for name, row in known.items() if name in models and _update(row, models[name])]
    EngineModel.objects.bulk_create(new, ignore_conflicts=True)
    EngineModel.objects.bulk_update(other, [*_COLUMNS], batch_size=100)
    if gone:
        EngineModel.objects.filter(id__in=[row.id for row in gone]).delete()
    moved = {row.engine_id for row in (*new, *gone, *other)}
    return {one.engine.node_id for one in asked if one.engine.id in moved}


def _by_name(models: Iterable[ModelSeen]) -> dict[str, ModelSeen]:
    """By name; a name that no column can hold is passed over."""
    return {model.name: model for model in models if clean(model.name) == model.name}


def _row(engine_id: int, model: ModelSeen) -> EngineModel:
    row = EngineModel(engine_id=engine_id, name=model.name)
    _update(row, model)
    return row


def _update(row: EngineModel, model: ModelSeen) -> bool:
    """Put what the engine says of a model into its row; whether that is anything else."""
    values = (
        row.is_resident if model.is_resident is None else model.is_resident,
        _within(model.size_bytes, 2**63),
        _within(model.context_length, 2**31),
        model.can_generate,
        _within(model.loaded_context, 2**31),
        ",".join(model.abilities),
    )
    before = tuple(getattr(row, name) for name in _COLUMNS)
    for name, value in zip(_COLUMNS, values, strict=True):
        setattr(row, name, value)
    return before != values


def _within(value: int | None, limit: int) -> int | None:
    return value if value is None or value < limit else None


def _record_slots(asked: Sequence[_Asked]) -> None:
    """Give each engine as many slots as people said, else as it says, else one."""
    wanted = {one.engine.id: slots_of(one.engine.slots, one.status.slots) for one in asked}
    rows = Slot.objects.filter(engine_id__in=wanted, is_retired=False).values("engine_id")
    have = {
        row["engine_id"]: (row["rows"], row["top"])
        for row in rows.annotate(rows=Count("id"), top=Max("index"))
    }
    for engine_id, count in wanted.items():
        if have.get(engine_id) != (count, count - 1):
            sync_slots(engine_id=engine_id, count=count)


def slots_of(configured: int, told: int) -> int:
    """How many requests at once an engine gets."""
    return min(configured or told or 1, MAX_SLOTS)


def _seen(nodes: Mapping[int, _Machine], known: Iterable[_Known], changed: Collection[int]) -> list[NodeSeen]:
    engines: dict[int, list[_Known]] = defaultdict(list)
    for one in known:
        engines[one.engine.node_id].append(one)
    return [
        NodeSeen(
            node_id=node_id,
            has_agent=node.has_agent,
            agent=node.seen.agent if node.seen.agent and node.seen.agent.base_url == node.address else None,
            engines=tuple(_as_seen(one, len(engines[node_id])) for one in engines[node_id]),
            is_changed=node_id in changed,
        )
        for node_id, node in nodes.items()
    ]


def _as_seen(one: _Known, siblings: int) -> Seen:
    name = "engine" if siblings == 1 else f"engine {urlsplit(one.engine.base_url).netloc}"
    return Seen(name, one.status.is_online, one.status.reason)


def context_note(*, engine_id: int, model: str, context: int) -> None:
    """A request makes an engine load a model with more context: known before the next probe tells.

    Else those that come meanwhile would be sent with the smaller one, and have it loaded back.
    """
    EngineModel.objects.filter(engine_id=engine_id, name=model, is_resident=True).update(
        loaded_context=context
    )


def residency_note(*, engine_id: int, model: str, is_resident: bool) -> None:
    """A model was just loaded or taken out: known before the next probe tells."""
    EngineModel.objects.filter(engine_id=engine_id, name=model).update(is_resident=is_resident)
