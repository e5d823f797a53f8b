"""Which hosts the overview shows, in which order and in which groups. Pure; `static/js/arrange.js` arranges alike."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from inference.payloads import NodeView

LABEL = "label:"
ENVIRONMENT = "environment"
TROUBLE_FIRST = ("offline", "degraded", "unknown", "online")


@dataclass(frozen=True, slots=True)
class Group:
    """Hosts that belong together: by what, and they in their order."""

    key: str
    nodes: tuple[NodeView, ...]


def arrange(
    nodes: Iterable[NodeView], *, text: str, sort: str, group: str, states: Mapping[str, str]
) -> tuple[Group, ...]:
    """Those that have every word of `text`, sorted and grouped; `states` are the states' names for the reader.

    An unknown `sort` is by name, an unknown `group` none.
    """
    wanted = text.lower().split()
    found = [node for node in nodes if _has(said_of(node, states), wanted)]
    found.sort(key=lambda node: (SORTS.get(sort, _by_name)(node), _natural(node["name"]), node["id"]))
    groups: dict[str, list[NodeView]] = {}
    for node in found:
        groups.setdefault(_group(node, group), []).append(node)
    # What has no label comes last.
    order = sorted(groups, key=lambda key: (not key, _natural(key), key))
    return tuple(Group(key, tuple(groups[key])) for key in order)


def label_keys(nodes: Iterable[NodeView]) -> list[str]:
    """The labels that some host has, by name."""
    return sorted({key for node in nodes for key in node["labels"]})


def said_of(node: NodeView, states: Mapping[str, str]) -> str:
    """All that the reader may look for in a host."""
    gpus = node["metrics"]["gpus"] if node["metrics"] else []
    words: list[str] = [
        node["name"],
        node["environment"],
        node["state"],
        states.get(node["state"], ""),
        node["lock"]["owner"] if node["lock"] else "",
        *(f"{key}={value}" for key, value in node["labels"].items()),
        *(engine["kind"] for engine in node["engines"]),
        *node["models"],
        *(gpu["name"] or "" for gpu in gpus),
    ]
    return "\n".join(words).lower()


def gpu_percent(node: NodeView) -> float | None:
    """The mean use of its GPUs."""
    return _mean(gpu["utilization_percent"] for gpu in _gpus(node))


def _has(said: str, words: Sequence[str]) -> bool:
    return all(word in said for word in words)


def _group(node: NodeView, by: str) -> str:
    if by == ENVIRONMENT:
        return node["environment"]
    return str(node["labels"].get(by.removeprefix(LABEL), "")) if by.startswith(LABEL) else ""


def _natural(name: str) -> list[Any]:
    """box2 before box10."""
    parts = re.split(r"([0-9]+)", name.lower())
    return [int(part) if place % 2 else part for place, part in enumerate(parts)]


def _gpus(node: NodeView) -> list[Any]:
    return list(node["metrics"]["gpus"]) if node["metrics"] else []


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _by_name(_node: NodeView) -> float:
    return 0.0


def _by_state(node: NodeView) -> float:
    return TROUBLE_FIRST.index(node["state"]) if node["state"] in TROUBLE_FIRST else len(TROUBLE_FIRST)


def _most(value: Callable[[NodeView], float | None]) -> Callable[[NodeView], float]:
    """The largest first, and last what is not known."""

    def key(node: NodeView) -> float:
        found = value(node)
        return float("inf") if found is None else -found

    return key


def _cpu(node: NodeView) -> float | None:
    return node["metrics"]["cpu_percent"] if node["metrics"] else None


def _memory(node: NodeView) -> float | None:
    return node["metrics"]["memory_percent"] if node["metrics"] else None


def _heat(node: NodeView) -> float | None:
    return max(
        (gpu["temperature_c"] for gpu in _gpus(node) if gpu["temperature_c"] is not None), default=None
    )


SORTS: Mapping[str, Callable[[NodeView], float]] = {
    "name": _by_name,
    "state": _by_state,
    "cpu": _most(_cpu),
    "gpu": _most(gpu_percent),
    "memory": _most(_memory),
    "heat": _most(_heat),
}
