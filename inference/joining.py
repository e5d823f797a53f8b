"""A machine that joins with a token becomes a node, or takes its old one over, with the engines that answer.

Nothing is asked within a transaction; the token is spent in the one that makes the node.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction

from dpl_site.lib.refusals import Refused
from inference import validation
from inference.engines import engine_row, record_look
from inference.looking import EngineEntry, Looked
from inference.models import Engine
from inference.reaching import Reached, ReachedEngine, reach
from inference.targets import live_engines
from nodes import pushed
from nodes.agent_keys import new_token, token_hash
from nodes.join_request import MAX_NAME, JoinRequest
from nodes.joining import join_note, token_of, token_use
from nodes.models import JoinToken, Node, NodeStatus
from nodes.selectors import live_nodes
from nodes.services import NOT_ASKED, forget_nodes, node_changed

PULL, PUSH = "pull", "push"
JOINED_NEWS = "joined"
"""What an event of the cluster says when a machine made itself a node."""
_TRIES = 5


@dataclass(frozen=True, slots=True)
class JoinedEngine:
    """An engine that was found on the machine: whether DPL uses it, and why not."""

    base_url: str
    is_used: bool
    reason: str = ""


@dataclass(slots=True)
class Joined:
    """What an agent is told. `reason` says why it has to push; `is_again`: this was its node before."""

    node: Node
    agent_token: str
    mode: str
    reason: str
    is_again: bool
    engines: list[JoinedEngine] = field(default_factory=list)
    new_engines: list[tuple[Engine, ReachedEngine]] = field(default_factory=list)


def agent_join(*, asked: JoinRequest, address: str) -> Joined:
    """Make the machine that calls from `address` a node, or give it its old one back with a new token.

    It is its old node by its machine id, or else by the agent's address when the host's name is the same. What
    people configured stays; engines that answer from here are added. Raises JoinRefused (401).
    """
    token = token_of(asked.token)
    reached = reach(asked, address)
    for _ in range(_TRIES):
        try:
            with transaction.atomic():
                joined = _join(asked, address, token, reached)
            break
        except IntegrityError:
            continue  # somebody took the name, the machine's id or an address at this moment
    else:
        raise Refused("Others join at this very moment. Try again in a second.", status=503)
    for engine, seen in joined.new_engines:
        record_look(node_id=joined.node.id, looked=Looked(engine=seen.seen), engine=engine)
    return joined


def _join(asked: JoinRequest, address: str, token: JoinToken, reached: Reached) -> Joined:
    token_use(token_id=token.id)
    old = _old_node(asked, reached.agent_url)
    agent_url, why_not = reached.agent_url, reached.why_not
    other = live_nodes().filter(monitor_base_url=agent_url).exclude(id=old.id if old else 0).first()
    if agent_url and other is not None:
        agent_url, why_not = "", f"the node {other.name} has the agent {agent_url} already"
    secret = new_token()
    columns = {
        "monitor_base_url": agent_url,
        "agent_token": secret,
        "agent_token_hash": token_hash(secret),
        "machine_id": asked.machine_id,
    }
    node = _taken_over(old, columns) if old else _made(asked, token, columns)
    joined = Joined(node, secret, PULL if agent_url else PUSH, "" if agent_url else why_not, old is not None)
    for seen in reached.engines:
        _add_engine(joined, seen)
    join_note(
        token=token,
        node=node,
        address=address[:45],
        mode=joined.mode,
        is_again=joined.is_again,
        reason=joined.reason[:300],
        engines=engines_told(joined.engines),
    )
    node_changed(node_id=node.id, payload=JOINED_NEWS)
    return joined


def engines_told(engines: Sequence[JoinedEngine]) -> list[dict[str, Any]]:
    """The engines as JSON."""
    return [{"base_url": one.base_url, "used": one.is_used, "reason": one.reason} for one in engines]


def _old_node(asked: JoinRequest, agent_url: str) -> Node | None:
    live = live_nodes().select_for_update().select_related(None)
    by_id = live.filter(machine_id=asked.machine_id).first()
    if by_id is not None or not agent_url:
        return by_id
    by_address = live.filter(monitor_base_url=agent_url).first()
    return by_address if by_address and _hostname_of(by_address) in ("", asked.hostname) else None


def _hostname_of(node: Node) -> str:
    """What its agent called its host last; empty where that is not known."""
    reading = NodeStatus.objects.filter(node=node).values_list("reading", flat=True).first()
    return str(json.loads(reading).get("hostname") or "") if reading else ""


def _taken_over(node: Node, columns: dict[str, Any]) -> Node:
    for name, value in columns.items():
        setattr(node, name, value)
    node.save(update_fields=[*columns])
    forget_nodes(node_ids=[node.id], reason=NOT_ASKED)
    pushed.forget(node_ids=[node.id])
    return node


def _made(asked: JoinRequest, token: JoinToken, columns: dict[str, Any]) -> Node:
    name = _free_name(asked.name or token.name or asked.hostname)
    node = Node.objects.create(name=name, environment=token.environment, **columns)
    NodeStatus.objects.create(node=node, reason=NOT_ASKED)
    return node


def _free_name(wanted: str) -> str:
    """The name, or it with the first number that makes it free: box, box-2, box-3."""
    taken = set(live_nodes().filter(name__startswith=wanted[: MAX_NAME - 12]).values_list("name", flat=True))
    number, name = 1, wanted[:MAX_NAME]
    while name in taken:
        number += 1
        name = f"{wanted[: MAX_NAME - 12]}-{number}"
    return name


def _add_engine(joined: Joined, found: ReachedEngine) -> None:
    """Add an engine that answers; one that the node has already is used as it is configured."""
    if live_engines(node_ids=[joined.node.id]).filter(base_url=found.base_url).exists():
        joined.engines.append(JoinedEngine(found.base_url, is_used=True))
        return
    reason = found.reason
    if found.seen is not None:
        try:
            base_url = validation.engine_address(found.base_url)
            engine = engine_row(joined.node, EngineEntry(found.base_url, base_url), 0)
            joined.new_engines.append((engine, found))
        except Refused as refused:
            reason = refused.message
    joined.engines.append(JoinedEngine(found.base_url, not reason, reason))


def push_interval_s() -> float:
    """How often agents are to push."""
    return float(settings.DPL_POLL_INTERVAL_S)
