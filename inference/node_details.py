"""What is known of one node besides its load: what the machine is made of, and how its engines stand. Reads only.

Too much to be pushed to everybody who watches the fleet; its page asks for it.
"""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import TypedDict, cast

import orjson
from django.conf import settings
from django.db.models import Count

from dpl_site.lib.clock import iso, iso_ms, utc_now
from inference.models import Engine, EngineModel, EngineSpeed, SlotWaiter
from inference.payloads import SlotsView
from inference.selectors import engine_snapshots
from inference.standing import Obstacle, Verdict, standings
from inference.targets import live_engines
from nodes.instances import owner_is_dead
from nodes.latest import is_current
from nodes.models import NodeStatus
from nodes.payloads import Cpu, Disk, Filesystem, Gpu, Network, Space, Status

DISABLED, NOT_ASKED = "disabled", "not_asked"
"""Obstacles that the scheduler does not know: it is not told of such engines."""


class MachineView(TypedDict):
    """What a node's agent told last. `current`: it tells of now; else it is how the machine was `told_at`."""

    current: bool
    told_at: str | None
    agent_version: str
    agent_outdated: bool
    server_version: str
    hostname: str | None
    os: str | None
    uptime_s: float | None
    cpu: Cpu
    memory: Space
    swap: Space
    filesystems: list[Filesystem]
    disk: Disk
    network: Network
    gpus: list[Gpu]
    gpu_error: str | None


class ObstacleView(TypedDict):
    """Why an engine gets no requests: a code, and more of it in words where there are any."""

    code: str
    detail: str


class DecisionView(TypedDict):
    """Where the next request for a model would go; `place` is this engine's among `of` that could take it."""

    place: int | None
    of: int
    finish_s: float | None
    first: str
    first_finish_s: float | None
    obstacle: ObstacleView | None


class ModelDetails(TypedDict):
    """A model of an engine, as it was measured there, and what the scheduler would decide for it."""

    name: str
    resident: bool
    generates: bool
    size_bytes: int | None
    context: int | None
    tokens_per_second: float | None
    seconds_per_request: float | None
    requests_measured: int
    decision: DecisionView | None


class EngineDetails(TypedDict):
    """An engine and how it stands with the scheduler. `waiting`: how many processes wait for a slot of it."""

    id: int
    kind: str
    base_url: str
    server: str
    online: bool
    obstacle: ObstacleView | None
    breaker_open_since: str | None
    slots: SlotsView
    waiting: int
    models: list[ModelDetails]


class NodeDetails(TypedDict):
    """`machine` is null when no agent ever told of it. `policy` is how the scheduler orders engines."""

    machine: MachineView | None
    policy: str
    engines: list[EngineDetails]


def node_details(node_id: int) -> NodeDetails:
    """All of it, for a node that is there."""
    status = NodeStatus.objects.filter(node_id=node_id).first()
    return {
        "machine": _machine(status) if status and status.reading else None,
        "policy": settings.DPL_SCHEDULING,
        "engines": _engines(node_id),
    }


def _machine(status: NodeStatus) -> MachineView:
    told = cast(Status, orjson.loads(status.reading))
    at, ours = status.sampled_at, str(settings.SPECTACULAR_SETTINGS["VERSION"])
    return {
        "current": bool(at) and not status.agent_error and is_current(at, utc_now()) if at else False,
        "told_at": iso(at),
        "agent_version": told["agent_version"],
        "agent_outdated": _parts(told["agent_version"]) < _parts(ours),
        "server_version": ours,
        "hostname": told["hostname"],
        "os": told["os"],
        "uptime_s": told["uptime_s"],
        "cpu": told["cpu"],
        "memory": told["memory"],
        "swap": told["swap"],
        "filesystems": told["filesystems"],
        "disk": told["disk"],
        "network": told["network"],
        "gpus": told["gpus"],
        "gpu_error": told["gpu_error"],
    }


def _parts(version: str) -> tuple[int, ...]:
    """A release as numbers that can be compared; what is no number counts as none."""
    return tuple(int(part) for part in version.split(".") if part.isascii() and part.isdigit())


def _engines(node_id: int) -> list[EngineDetails]:
    engines = live_engines(node_ids=[node_id]).select_related("status").order_by("id").defer("api_key")
    snapshots = {one.engine_id: one for one in engine_snapshots()} if engines else {}
    stand = standings(node_id, list(snapshots.values()), time.time(), settings.DPL_SCHEDULING)
    waiting = _waiting(node_id)
    found: list[EngineDetails] = []
    for engine in engines:
        seen, standing = snapshots.get(engine.id), stand.get(engine.id)
        slots: SlotsView = {"total": seen.slots, "busy": seen.in_flight} if seen else {"total": 0, "busy": 0}
        obstacle = standing.obstacle if standing else _unseen(engine)
        models = _models(engine, standing.verdicts if standing else {})
        found.append(_engine(engine, obstacle, slots, waiting.get(engine.id, 0), models))
    return found


def _engine(
    engine: Engine, obstacle: Obstacle | None, slots: SlotsView, waiting: int, models: list[ModelDetails]
) -> EngineDetails:
    status = getattr(engine, "status", None)
    return {
        "id": engine.id,
        "kind": engine.kind or (status.kind if status else ""),
        "base_url": engine.base_url,
        "server": status.server if status else "",
        "online": bool(status and status.is_online and engine.is_enabled),
        "obstacle": _told(obstacle),
        "breaker_open_since": iso_ms(status.breaker_open_ms) if status else None,
        "slots": slots,
        "waiting": waiting,
        "models": models,
    }


def _unseen(engine: Engine) -> Obstacle:
    return Obstacle(NOT_ASKED if engine.is_enabled else DISABLED)


def _told(obstacle: Obstacle | None) -> ObstacleView | None:
    return {"code": obstacle.code, "detail": obstacle.detail} if obstacle else None


def _waiting(node_id: int) -> dict[int | None, int]:
    """Engine id → how many living processes wait for a slot of it."""
    waiters = SlotWaiter.objects.filter(engine__node_id=node_id).exclude(owner_is_dead("owner"))
    return dict(waiters.order_by().values_list("engine_id").annotate(Count("id")))


def _models(engine: Engine, verdicts: dict[str, Verdict]) -> list[ModelDetails]:
    """The models of an engine, the resident ones first."""
    speeds = {speed.model: speed for speed in EngineSpeed.objects.filter(engine=engine)}
    rows = EngineModel.objects.filter(engine=engine).order_by("-is_resident", "name")
    is_online = bool(engine.is_enabled and hasattr(engine, "status") and engine.status.is_online)
    return [_model(row, speeds.get(row.name), verdicts.get(row.name), is_online) for row in rows]


def _model(
    row: EngineModel, speed: EngineSpeed | None, verdict: Verdict | None, is_online: bool
) -> ModelDetails:
    return {
        "name": row.name,
        # What an engine had in memory is gone, or out of reach, when it does not answer.
        "resident": row.is_resident and is_online,
        "generates": row.can_generate,
        "size_bytes": row.size_bytes,
        "context": row.loaded_context or row.context_length,
        "tokens_per_second": speed.tokens_per_second or None if speed else None,
        "seconds_per_request": speed.seconds_per_request if speed else None,
        "requests_measured": speed.samples if speed else 0,
        "decision": _decision(verdict) if verdict else None,
    }


def _decision(verdict: Verdict) -> DecisionView:
    return cast(DecisionView, asdict(verdict))
