"""Decides under which key each node stands in FlowLine's object, and which IP address it shows. Pure."""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from urllib.parse import urlsplit

# The page puts a slave's IP address, host name, system and processor into its HTML as they are.
_LOOK_ALIKE: Mapping[int, str] = MappingProxyType(
    str.maketrans({"<": "‹", ">": "›", "&": "＆", '"': "”", "'": "’", "`": "ˋ", "\\": "＼"})
)


def harmless(text: str) -> str:
    """The text with look-alikes for whatever HTML and scripts read as more than text; others stay as they are."""
    return text.translate(_LOOK_ALIKE)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a node is: its name, its IP address ("" where none is known), and the port of what answers there."""

    node_id: int
    name: str
    ip: str
    port: int

    @property
    def shown_ip(self) -> str:
        """What FlowLine calls its IP address: the node's name where there is none. Harmless."""
        return harmless(self.ip or self.name)


def place_of(node_id: int, name: str, urls: Iterable[str]) -> Place:
    """A node's place by the addresses of its agent and engines: the first with an IP address, else the first."""
    found = [_host_and_port(url) for url in urls if url]
    best = next((one for one in found if one[0]), found[0] if found else ("", 0))
    return Place(node_id, name, *best)


def keys_of(places: Sequence[Place]) -> dict[int, str]:
    """Node id → its key, no key twice: the IP address; with the port where several share it; else the name."""
    keys: dict[int, str] = {}
    left = list(places)
    for spell in (_by_ip, _by_ip_and_port, _by_name):
        counted = Counter(spell(place) for place in left)
        fit = {place.node_id: spell(place) for place in left if counted[spell(place)] == 1}
        taken = set(keys.values())
        keys |= {node_id: key for node_id, key in fit.items() if key and key not in taken}
        left = [place for place in left if place.node_id not in keys]
    return keys | {place.node_id: f"{_by_name(place)}#{place.node_id}" for place in left}


def _by_ip(place: Place) -> str:
    return place.ip


def _by_ip_and_port(place: Place) -> str:
    if not place.ip or not place.port:
        return ""
    return f"[{place.ip}]:{place.port}" if ":" in place.ip else f"{place.ip}:{place.port}"


def _by_name(place: Place) -> str:
    return harmless(place.name)


def _host_and_port(url: str) -> tuple[str, int]:
    """The IP address in a URL ("" where it has a name instead), and its port."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return "", 0
    return (host if _is_ip(host) else ""), port or (443 if parts.scheme == "https" else 80)


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True
