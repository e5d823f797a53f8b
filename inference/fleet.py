"""The fleet as clients see it, in a few queries whatever its size."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection

import orjson
from django.db.models import Count, Q

from dpl_site.lib.clock import iso, utc_now
from inference.models import Engine, EngineModel, EngineStatus, Slot
from inference.payloads import EngineView, FleetView, GpuView, MetricsView, ModelView, NodeView, SlotsView
from inference.targets import live_engines
from nodes.instances import owner_is_dead
from nodes.models import Node, NodeStatus
from nodes.payloads import Gpu, Status
from nodes.selectors import StandingLock, live_nodes, standing_locks
from nodes.states import NodeState

_WORKING = (NodeState.ONLINE, NodeState.DEGRADED)
_NO_SLOTS: SlotsView = {"total": 0, "busy": 0}


def status_all() -> FleetView:
    """GET /api/status/all."""
    return {"generated_at": iso(utc_now()), "nodes": node_views()}


def status_node(node_id: int) -> NodeView | None:
    """One node in the same shape; None when there is none."""
    return next(iter(node_views(node_ids=[node_id])), None)


def node_views(*, node_ids: Collection[int] | None = None) -> list[NodeView]:
    """All live nodes (or those of the given ones that are live) by id."""
    nodes = live_nodes().select_related("status").order_by("id").defer("agent_token")
    if node_ids is not None:
        nodes = nodes.filter(id__in=node_ids)
    engines = _engines(node_ids)
    slots, locks = slots_by_node(node_ids), standing_locks(node_ids=node_ids)
    return [
        _node(node, engines[node.id], slots.get(node.id, _NO_SLOTS), locks.get(node.id)) for node in nodes
    ]


def engine_view(engine: Engine) -> EngineView:
    """One engine in the same shape."""
    models = EngineModel.objects.filter(engine=engine).order_by("name")
    return _engine(engine, [_model(model) for model in models])


def metrics_of(status: NodeStatus | None) -> MetricsView | None:
    """The latest measurements; None without an agent that answers."""
    if status is None or status.agent_error or not status.reading:
        return None
    reading: Status = orjson.loads(status.reading)
    return {
        "cpu_percent": reading["cpu"]["percent"],
        "memory_percent": reading["memory"]["percent"],
        "memory_used_bytes": reading["memory"]["used_bytes"],
        "memory_total_bytes": reading["memory"]["total_bytes"],
        "net_rx_mbps": reading["network"]["rx_mbps"],
        "net_tx_mbps": reading["network"]["tx_mbps"],
        "disk_read_mb_s": reading["disk"]["read_mb_s"],
        "disk_write_mb_s": reading["disk"]["write_mb_s"],
        "gpus": [_gpu(gpu) for gpu in reading["gpus"]],
        "gpu_error": reading["gpu_error"],
    }


def _gpu(gpu: Gpu) -> GpuView:
    return {
        "index": gpu["index"],
        "name": gpu["name"],
        "vendor": gpu["vendor"],
        "utilization_percent": gpu["utilization_percent"],
        "memory_used_bytes": gpu["memory_used_bytes"],
        "memory_total_bytes": gpu["memory_total_bytes"],
        "temperature_c": gpu["temperature_c"],
        "power_w": gpu["power_w"],
    }


def _node(node: Node, engines: list[EngineView], slots: SlotsView, lock: StandingLock | None) -> NodeView:
    status: NodeStatus | None = getattr(node, "status", None)
    state = status.state if status else NodeState.UNKNOWN.value
    return {
        "id": node.id,
        "name": node.name,
        "environment": node.environment,
        "labels": node.labels,
        "online": state in _WORKING,
        "state": state,
        "reason": status.reason if status else "it has not been asked yet",
        "since": iso(status.since if status else node.created_at),
        "locked": lock is not None,
        "lock": lock.view() if lock else None,
        "slots": slots,
        "engines": engines,
        "models": sorted({model["name"] for engine in engines for model in engine["models"]}),
        "sampled_at": iso(status.sampled_at) if status else None,
        "clock_skew_s": status.clock_skew_s if status else None,
        "metrics": metrics_of(status),
    }


def _engines(node_ids: Collection[int] | None) -> dict[int, list[EngineView]]:
    engines = list(live_engines(node_ids=node_ids).select_related("status").order_by("id").defer("api_key"))
    models: dict[int, list[ModelView]] = defaultdict(list)
    for model in EngineModel.objects.filter(engine__in=[engine.id for engine in engines]).order_by("name"):
        models[model.engine_id].append(_model(model))
    views: dict[int, list[EngineView]] = defaultdict(list)
    for engine in engines:
        views[engine.node_id].append(_engine(engine, models[engine.id]))
    return views


def _engine(engine: Engine, models: list[ModelView]) -> EngineView:
    status: EngineStatus | None = getattr(engine, "status", None)
    is_online = bool(status and status.is_online and engine.is_enabled)
    return {
        "id": engine.id,
        "kind": engine.kind or (status.kind if status else ""),
        "base_url": engine.base_url,
        "online": is_online,
        "reason": _reason(engine, status),
        "enabled": engine.is_enabled,
        "breaker_open": bool(status and status.breaker_open_ms is not None),
        "server": status.server if status else "",
        # What an engine had in memory is gone, or out of reach, when it does not answer.
        "models": [{**model, "resident": model["resident"] and is_online} for model in models],
    }


def _reason(engine: Engine, status: EngineStatus | None) -> str:
    if not engine.is_enabled:
        return "it is switched off"
    if status is None:
        return "it has not been asked yet"
    return status.reason or status.breaker_reason


def _model(model: EngineModel) -> ModelView:
    return {"name": model.name, "resident": model.is_resident, "size_bytes": model.size_bytes}


def slots_by_node(node_ids: Collection[int] | None = None) -> dict[int, SlotsView]:
    """Node id → its slots. One is busy while its holder lives; retired ones count until they are free."""
    slots = Slot.objects.filter(engine__archived_at__isnull=True)
    if node_ids is not None:
        slots = slots.filter(engine__node_id__in=node_ids)
    is_busy = Q(holder__isnull=False) & ~owner_is_dead("holder")
    rows = slots.values("engine__node_id").annotate(
        total=Count("id", filter=Q(is_retired=False)), busy=Count("id", filter=is_busy)
    )
    return {row["engine__node_id"]: {"total": row["total"], "busy": row["busy"]} for row in rows}
