"""The nodes as FlowLine's slaves, read in two queries whatever their number."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from dpl_site.lib.clock import iso, utc_now
from inference.flowline.places import Place, keys_of, place_of
from inference.flowline.shape import Slave, slave
from inference.targets import live_engines
from nodes.latest import Latest, latest

NO_AGENT = "No agent measures this machine. Start dpl-agent there, and enter its address at the node."
NOT_YET = "It has not been asked yet."


@dataclass(frozen=True, slots=True)
class Found:
    """One node under its key."""

    key: str
    place: Place
    latest: Latest

    @property
    def slave(self) -> Slave:
        """As FlowLine wants it."""
        status = self.latest.status
        at = status.sampled_at if status else None
        seen = at.timestamp() if at else None
        reading = self.latest.reading
        return slave(
            self.place, last_seen=seen, status=reading, error="" if reading else _problem(self.latest)
        )


def all_slaves() -> dict[str, Slave]:
    """GET /api/slaves: every node by its key."""
    return {found.key: found.slave for found in _nodes()}


def one_slave(key: str) -> Slave | None:
    """GET /api/slaves/{key}; None when there is none. A node's name is understood too."""
    found = _named(key)
    return found.slave if found else None


def node_of(key: str) -> int | None:
    """The id of the node under a key, or with this name."""
    found = _named(key)
    return found.place.node_id if found else None


def health() -> dict[str, object]:
    """GET /api/health: how many machines there are, and how many of their agents tell anything."""
    nodes = latest()
    online = sum(one.reading is not None for one in nodes)
    told = {"status": "ok", "timestamp": utc_now().timestamp()}
    return {**told, "slaves_total": len(nodes), "slaves_online": online}


def _named(key: str) -> Found | None:
    nodes = _nodes()
    by_key = next((found for found in nodes if found.key == key), None)
    return by_key or next((found for found in nodes if found.place.name == key), None)


def _nodes() -> list[Found]:
    nodes = latest()
    engines: dict[int, list[str]] = defaultdict(list)
    for node_id, url in live_engines().order_by("id").values_list("node_id", "base_url"):
        engines[node_id].append(url)
    places = [
        place_of(one.node.id, one.node.name, [one.node.monitor_base_url, *engines[one.node.id]])
        for one in nodes
    ]
    keys = keys_of(places)
    return [Found(keys[place.node_id], place, one) for place, one in zip(places, nodes, strict=True)]


def _problem(one: Latest) -> str:
    """Why there is no reading of now."""
    status = one.status
    if status is not None and status.agent_error:
        return status.agent_error
    if status is None or not status.reading or status.sampled_at is None:
        return NOT_YET if one.node.monitor_base_url else NO_AGENT
    return f"Nothing has been heard of it since {iso(status.sampled_at)}. Is a controller running?"
