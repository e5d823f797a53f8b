"""The nodes as FlowLine's slaves, read in two queries whatever their number."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings

from dpl_site.lib.clock import iso, utc_now
from inference.flowline.places import Place, keys_of, place_of
from inference.flowline.shape import Slave, slave
from inference.targets import live_engines
from nodes.models import Node, NodeStatus
from nodes.payloads import Status
from nodes.selectors import live_nodes

NO_AGENT = "No agent measures this machine. Start dpl-agent there, and enter its address at the node."
NOT_YET = "It has not been asked yet."
STALE_AFTER_S = 30.0
"""A reading that is older, and older than five ticks, is none: nobody has asked for long."""


@dataclass(frozen=True, slots=True)
class Found:
    """One node under its key."""

    key: str
    node: Node
    place: Place


def all_slaves() -> dict[str, Slave]:
    """GET /api/slaves: every node by its key."""
    now = utc_now()
    return {found.key: _slave(found, now) for found in _nodes()}


def one_slave(key: str) -> Slave | None:
    """GET /api/slaves/{key}; None when there is none. A node's name is understood too."""
    found = _named(key)
    return _slave(found, utc_now()) if found else None


def node_of(key: str) -> int | None:
    """The id of the node under a key, or with this name."""
    found = _named(key)
    return found.node.id if found else None


def health() -> dict[str, object]:
    """GET /api/health: how many machines there are, and how many of their agents tell anything."""
    now = utc_now()
    nodes = _nodes()
    online = sum(_slave(found, now)["online"] for found in nodes)
    told = {"status": "ok", "timestamp": now.timestamp()}
    return {**told, "slaves_total": len(nodes), "slaves_online": online}


def _named(key: str) -> Found | None:
    nodes = _nodes()
    by_key = next((found for found in nodes if found.key == key), None)
    return by_key or next((found for found in nodes if found.node.name == key), None)


def _nodes() -> list[Found]:
    nodes = list(live_nodes().select_related("status").defer("agent_token").order_by("id"))
    engines: dict[int, list[str]] = defaultdict(list)
    for node_id, url in live_engines().order_by("id").values_list("node_id", "base_url"):
        engines[node_id].append(url)
    places = [place_of(node.id, node.name, [node.monitor_base_url, *engines[node.id]]) for node in nodes]
    keys = keys_of(places)
    return [Found(keys[node.id], node, place) for node, place in zip(nodes, places, strict=True)]


def _slave(found: Found, now: datetime) -> Slave:
    status: NodeStatus | None = getattr(found.node, "status", None)
    sampled_at = status.sampled_at if status else None
    reading: Status | None = json.loads(status.reading) if status and status.reading else None
    return slave(
        found.place,
        last_seen=sampled_at.timestamp() if sampled_at else None,
        status=reading,
        error=_problem(found.node, status, now),
    )


def _problem(node: Node, status: NodeStatus | None, now: datetime) -> str:
    """Why there is no reading of now; empty when there is one."""
    if status is not None and status.agent_error:
        return status.agent_error
    if status is None or not status.reading or status.sampled_at is None:
        return NOT_YET if node.monitor_base_url else NO_AGENT
    oldest = timedelta(seconds=max(STALE_AFTER_S, 5 * settings.DPL_POLL_INTERVAL_S))
    if now - status.sampled_at > oldest:
        return f"Nothing has been heard of it since {iso(status.sampled_at)}. Is a controller running?"
    return ""
