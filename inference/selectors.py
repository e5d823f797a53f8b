"""What the scheduler sees: every engine that could work, with load, models, speeds and locks, in a few queries."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass, field, replace

from django.db.models import Count, Q, QuerySet

from inference.models import Engine, EngineModel, EngineSpeed, ModelAlias, Slot
from inference.scheduling import EngineSnapshot
from inference.upstream import Target
from nodes.instances import owner_is_dead
from nodes.models import NodeStatus
from nodes.selectors import standing_locks as locks_now


def engine_snapshots() -> list[EngineSnapshot]:
    """All live engines of live nodes, as `scheduling.choose` wants them."""
    engines = list(
        Engine.objects.filter(archived_at__isnull=True, is_enabled=True, node__archived_at__isnull=True)
        .select_related("node", "status")
        .order_by("id")
    )
    models, speeds = _models(), _speeds()
    slots, locks, loads = _slots(), standing_locks(), _loads()
    known_as = aliases()
    return [
        replace(_snapshot(engine, models, speeds, slots, locks, loads), aliases=known_as)
        for engine in engines
        if hasattr(engine, "status")
    ]


def aliases() -> dict[str, str]:
    """Other names of models, each with the model that is meant."""
    return dict(ModelAlias.objects.values_list("alias", "model"))


def standing_locks() -> dict[int, str]:
    """Node id → who has it: `job:<id>` for a job, else the owner's name; agents' own locks count too."""
    return {
        node_id: f"job:{lock.job_id}" if lock.job_id else lock.owner or "the agent"
        for node_id, lock in locks_now().items()
    }


def busy_slots() -> dict[int, int]:
    """Node id → slots that somebody holds now."""
    rows = _held().values("engine__node_id").annotate(busy=Count("id"))
    return {row["engine__node_id"]: row["busy"] for row in rows}


def slots_by_holder() -> dict[str, int]:
    """Instance id (hex) → slots that it holds."""
    rows = _held().values("holder_id").annotate(busy=Count("id"))
    return {row["holder_id"].hex: row["busy"] for row in rows}


def _held() -> QuerySet[Slot]:
    return Slot.objects.filter(holder__isnull=False).exclude(owner_is_dead("holder"))


@dataclass(slots=True)
class _Named:
    """Names of one engine's models: those that generate by whether they are resident, and those that only embed."""

    generating: dict[bool, list[str]] = field(default_factory=lambda: {True: [], False: []})
    embedders: dict[str, bool] = field(default_factory=dict)
    contexts: dict[str, int] = field(default_factory=dict)


COUNTING = ("llama.cpp", "vLLM")
"""OpenAI engines that are known to tell a stream's tokens when asked, by how they name themselves."""
_Speeds = dict[int, tuple[dict[str, float], dict[str, float]]]


def _models() -> dict[int, _Named]:
    named: dict[int, _Named] = defaultdict(_Named)
    rows = EngineModel.objects.order_by("engine_id", "name").values_list(
        "engine_id", "name", "is_resident", "can_generate", "loaded_context"
    )
    for engine_id, name, is_resident, can_generate, context in rows:
        if is_resident and context:
            named[engine_id].contexts[name] = context
        if can_generate:
            named[engine_id].generating[is_resident].append(name)
        else:
            named[engine_id].embedders[name] = is_resident
    return named


def _speeds() -> _Speeds:
    found: _Speeds = defaultdict(lambda: ({}, {}))
    for row in EngineSpeed.objects.all():
        if row.tokens_per_second > 0:
            found[row.engine_id][0][row.model] = row.tokens_per_second
        found[row.engine_id][1][row.model] = row.seconds_per_request
    return found


def _slots() -> dict[int, tuple[int, int]]:
    busy = Q(holder__isnull=False) & ~owner_is_dead("holder")
    rows = (
        Slot.objects.filter(is_retired=False)
        .values("engine_id")
        .annotate(total=Count("id"), busy=Count("id", filter=busy))
    )
    return {row["engine_id"]: (row["total"], row["busy"]) for row in rows}


def _loads() -> dict[int, tuple[bool, float | None]]:
    """Node id → whether it has a GPU, and how busy its GPU (or its CPU) is."""
    found: dict[int, tuple[bool, float | None]] = {}
    for node_id, reading in NodeStatus.objects.exclude(reading="").values_list("node_id", "reading"):
        data = json.loads(reading)
        gpus = [gpu.get("utilization_percent") for gpu in data.get("gpus") or []]
        known = [value for value in gpus if isinstance(value, int | float)]
        cpu = (data.get("cpu") or {}).get("percent")
        load = sum(known) / len(known) if known else cpu if isinstance(cpu, int | float) else None
        found[node_id] = (bool(gpus), load)
    return found


def _snapshot(
    engine: Engine,
    models: dict[int, _Named],
    speeds: _Speeds,
    slots: dict[int, tuple[int, int]],
    locks: dict[int, str],
    loads: dict[int, tuple[bool, float | None]],
) -> EngineSnapshot:
    status, named = engine.status, models[engine.id]
    total, busy = slots.get(engine.id, (0, 0))
    has_gpu, load = loads.get(engine.node_id, (False, None))
    return EngineSnapshot(
        engine_id=engine.id,
        node_id=engine.node_id,
        node_name=engine.node.name,
        is_online=status.is_online,
        problem=status.breaker_reason or status.reason,
        locked_by=locks.get(engine.node_id, ""),
        is_breaker_open=status.breaker_open_ms is not None,
        resident=tuple(named.generating[True]),
        on_disk=tuple(named.generating[False]),
        embedders=named.embedders,
        contexts=named.contexts,
        slots=total,
        in_flight=busy,
        has_gpu=has_gpu,
        load_percent=load,
        speeds=speeds[engine.id][0],
        seconds=speeds[engine.id][1],
    )


def targets() -> dict[int, Target]:
    """How to reach each live engine, by its id."""
    engines = Engine.objects.filter(archived_at__isnull=True, is_enabled=True).select_related("status")
    return {
        engine.id: Target(
            engine_id=engine.id,
            node_id=engine.node_id,
            kind=engine.kind or engine.status.kind,
            base_url=engine.base_url,
            api_key=engine.api_key,
            chat_path_missing=engine.status.chat_path_missing,
            counts=engine.status.server.startswith(COUNTING),
        )
        for engine in engines
        if hasattr(engine, "status")
    }
