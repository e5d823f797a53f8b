"""Whom a tick asks: every live node's agent and every engine that is switched on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass

from django.db.models import QuerySet

from dpl_site.lib.db import now_ms
from inference.models import Engine
from nodes.mirror import AgentTarget
from nodes.pushed import PushTarget, push_targets
from nodes.selectors import agent_targets, live_nodes, our_locks
from nodes.services import installation_id


@dataclass(frozen=True, slots=True)
class EngineTarget:
    """One engine to be asked.

    `kind` is what was configured or found earlier; `is_kind_fixed`: a person chose it. `is_new`: it was not
    online when it was last seen, so that it may be another server by now.
    """

    engine_id: int
    generation: int
    base_url: str
    kind: str
    is_kind_fixed: bool
    api_key: str
    is_new: bool


@dataclass(frozen=True, slots=True)
class NodeTarget:
    """One node: its agent, when it has one that can be asked, its engines, and what its agent pushed, if it does."""

    node_id: int
    agent: AgentTarget | None
    engines: tuple[EngineTarget, ...]
    push: PushTarget | None = None


@dataclass(frozen=True, slots=True)
class Targets:
    """The fleet to be asked, and the identity under which we ask."""

    installation: str
    nodes: tuple[NodeTarget, ...]


def fleet_targets(*, node_ids: Collection[int] | None = None, agents_only: bool = False) -> Targets:
    """All live nodes, or those of the given ones that are live; with `agents_only` none of their engines."""
    engines = defaultdict(list)
    if not agents_only:
        for engine in live_engines(node_ids=node_ids).filter(is_enabled=True).select_related("status"):
            engines[engine.node_id].append(_engine_target(engine))
    agents = {target.node_id: target for target in agent_targets(node_ids=node_ids)}
    nodes = live_nodes() if node_ids is None else live_nodes().filter(id__in=node_ids)
    rows = list(nodes.values_list("id", "monitor_base_url", "agent_token_hash"))
    pushes = _push_targets({node_id: address for node_id, address, token_hash in rows if token_hash})
    return Targets(
        installation=str(installation_id()),
        nodes=tuple(
            NodeTarget(node_id, agents.get(node_id), tuple(engines[node_id]), pushes.get(node_id))
            for node_id, _, _ in rows
        ),
    )


def live_engines(*, node_ids: Collection[int] | None = None) -> QuerySet[Engine]:
    """The engines that are not archived, of nodes that are not."""
    found = Engine.objects.filter(archived_at__isnull=True, node__archived_at__isnull=True)
    return found if node_ids is None else found.filter(node_id__in=node_ids)


def _push_targets(addresses: dict[int, str]) -> dict[int, PushTarget]:
    if not addresses:
        return {}
    now = now_ms()
    return push_targets(addresses=addresses, locks=our_locks(node_ids=addresses, now=now), now=now)


def _engine_target(engine: Engine) -> EngineTarget:
    status = getattr(engine, "status", None)
    return EngineTarget(
        engine_id=engine.id,
        generation=engine.generation,
        base_url=engine.base_url,
        kind=engine.kind or (status.kind if status else ""),
        is_kind_fixed=bool(engine.kind),
        api_key=engine.api_key,
        is_new=status is None or not status.is_online,
    )
