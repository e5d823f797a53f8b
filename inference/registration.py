"""Adds, changes and removes nodes: the only writer of what people configure of them, with `joining`.

What is new is asked at once and recorded, so that the answer tells how the machine is. Nothing is asked
within a transaction.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import transaction

from dpl_site.lib.clock import utc_now
from dpl_site.lib.refusals import Refused
from inference import validation
from inference.engines import engine_entry, engine_row, live_node, no_duplicate, record_look, retire
from inference.looking import look
from inference.models import Engine
from nodes import locks, pushed
from nodes.agent_keys import token_hash
from nodes.mirror import AgentTarget
from nodes.models import Node, NodeStatus
from nodes.selectors import agent_targets, live_nodes
from nodes.services import NOT_ASKED, forget_nodes, node_changed

REMOVED_NEWS = "removed"
"""What an event of the cluster says when a node is no longer part of it."""


def node_add(
    *,
    name: str,
    llm_url: str = "",
    monitor_base_url: str = "",
    agent_token: str = "",
    api_key: str = "",
    slots: int = 0,
    environment: str = "default",
    labels: Mapping[str, object] | None = None,
) -> Node:
    """A new node, with its engine and its agent where addresses are given, asked and recorded.

    A machine that does not answer is kept, with its state and the reason. Raises Refused, by field, for what
    is malformed, forbidden or there already, and for something that answers and is no engine.
    """
    columns = {
        "name": validation.node_name(name),
        "monitor_base_url": validation.agent_address(monitor_base_url),
        "agent_token": validation.secret(agent_token, field="agent_token"),
        "environment": validation.environment(environment),
        "labels": validation.labels(labels),
    }
    columns["agent_token_hash"] = token_hash(str(columns["agent_token"]))
    entry = engine_entry(llm_url, api_key) if llm_url.strip() else None
    count = validation.slots(slots)
    looked = look(engine=entry, agent=_agent_of(columns))
    with no_duplicate(), transaction.atomic():
        node = Node.objects.create(**columns)
        NodeStatus.objects.create(node=node, reason=NOT_ASKED)
        engine = engine_row(node, entry, count) if entry else None
        node_changed(node_id=node.id)
    record_look(node_id=node.id, looked=looked, engine=engine)
    return live_node(node.id)


def node_update(
    *,
    node_id: int,
    name: str | None = None,
    monitor_base_url: str | None = None,
    agent_token: str | None = None,
    environment: str | None = None,
    labels: Mapping[str, object] | None = None,
) -> Node:
    """Change what is given. Another agent, or another token, is asked at once; what was known is forgotten."""
    node = live_node(node_id)
    asked: dict[str, Any] = {
        "name": None if name is None else validation.node_name(name, node_id=node_id),
        "monitor_base_url": None
        if monitor_base_url is None
        else validation.agent_address(monitor_base_url, node_id=node_id),
        "agent_token": None if agent_token is None else validation.secret(agent_token, field="agent_token"),
        "environment": None if environment is None else validation.environment(environment),
        "labels": None if labels is None else validation.labels(labels),
    }
    changes = {
        key: value for key, value in asked.items() if value is not None and value != getattr(node, key)
    }
    if not changes:
        return node
    has_other_agent = bool({"monitor_base_url", "agent_token"} & changes.keys())
    if "agent_token" in changes:
        changes["agent_token_hash"] = token_hash(changes["agent_token"])
    with no_duplicate(), transaction.atomic():
        for key, value in changes.items():
            setattr(node, key, value)
        node.save(update_fields=[*changes])
        if has_other_agent:
            forget_nodes(node_ids=[node_id], reason=NOT_ASKED)
            pushed.forget(node_ids=[node_id])
        node_changed(node_id=node_id)
    if has_other_agent:
        targets = agent_targets(node_ids=[node_id])
        record_look(node_id=node_id, looked=look(agent=targets[0] if targets else None))
    return live_node(node_id)


def node_remove(*, node_id: int, actor: str) -> None:
    """Take a node and its engines out of the fleet; their names and addresses are free again.

    What runs there goes on to its end. Our lock is released; an agent that holds it lets go by itself within
    half a minute, and its token opens nothing any more. Raises Refused (404) when there is no such node.
    """
    with transaction.atomic():
        if not live_nodes().filter(id=node_id).update(archived_at=utc_now()):
            raise Refused(f"There is no node {node_id}.", status=404)
        for engine_id in Engine.objects.filter(node_id=node_id).values_list("id", flat=True):
            retire(engine_id)
        locks.release_node(node_id=node_id, actor=actor)
        pushed.forget(node_ids=[node_id])
        node_changed(node_id=node_id, payload=REMOVED_NEWS)


def _agent_of(columns: Mapping[str, Any]) -> AgentTarget | None:
    if not columns["monitor_base_url"]:
        return None
    return AgentTarget(0, columns["monitor_base_url"], columns["agent_token"], None)
