"""Decides the order of the engines that may take a request: the policies, affinity and near ties among them. Pure."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from itertools import takewhile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from inference.scheduling import Candidate, Request

HOME_BOUND = 3.0
"""A conversation stays with its engine while that would be done at most so much later than the best."""
AFFINITY_BOUND = 1.25
"""A new conversation goes by its hash to one of those that would be done at most so much later than the best."""
TIE_BOUND = 1.05
"""Engines that would be done within so much of the best are taken for equally good."""
_64_BITS = 2**64 - 1

_Key = tuple[float, tuple[bool, float, int]]


def _by_finish(request: Request, accepted: list[Candidate], now: float) -> list[Candidate]:
    """The first to be done, else the one that fits best of those that are about as good."""
    ordered = sorted(accepted, key=_finish_key)
    return _with_affinity(request, ordered) if request.prefix else _of_two(ordered, now)


def _with_affinity(request: Request, ordered: list[Candidate]) -> list[Candidate]:
    """The conversation stays with its engine, which remembers its beginning, while that is not much busier.

    One that was not seen yet goes where every process would send it, of those that are about as good.
    """
    first = next((one for one in ordered if one.snapshot.engine_id == request.home), None)
    note = "it answered this conversation before"
    if first is None or first.expected_finish_s > ordered[0].expected_finish_s * HOME_BOUND:
        near = _near(ordered, AFFINITY_BOUND)
        if len(near) < 2:
            return ordered
        first = max(near, key=lambda one: _draw(request.prefix, one.engine_id))
        note = "the conversation's prefix belongs here"
    return _led_by(first, first._replace(note=note), ordered)


def _of_two(ordered: list[Candidate], now: float) -> list[Candidate]:
    """Of those that are as good as the best, the less busy one of two that are drawn.

    Processes that see the same fleet at the same moment would all choose the first; so they spread.
    """
    near = [one for one in _near(ordered, TIE_BOUND) if one.model in one.snapshot.seconds]
    if len(near) < 3:
        return ordered
    drawn = sorted(near, key=lambda one: _draw(int(now * 1_000_000), one.engine_id))[:2]
    first = min(drawn, key=_load_key)
    return _led_by(first, first, ordered)


def _led_by(first: Candidate, told: Candidate, ordered: list[Candidate]) -> list[Candidate]:
    """`first` before all others, as `told`."""
    return [told, *(one for one in ordered if one is not first)]


def _near(ordered: list[Candidate], bound: float) -> list[Candidate]:
    """Those that would be done within `bound` times the best's time, and have a GPU if it has."""
    if not ordered:
        return []
    limit, has_gpu = ordered[0].expected_finish_s * bound, ordered[0].snapshot.has_gpu
    soon = takewhile(lambda one: one.expected_finish_s <= limit, ordered)
    return [one for one in soon if one.snapshot.has_gpu == has_gpu]


def _draw(seed: int, engine_id: int) -> int:
    """A number as if drawn for this engine, always the same for the same seed (rendezvous hashing).

    The mixing is SplitMix64's (Steele, Lea, Flood 2014).
    """
    mixed = (seed * 0x9E3779B97F4A7C15 + engine_id * 0xD1342543DE82EF95) & _64_BITS
    mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _64_BITS
    mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _64_BITS
    return mixed ^ (mixed >> 31)


def _by_load(request: Request, accepted: list[Candidate], now: float) -> list[Candidate]:
    return sorted(accepted, key=_load_key)


def _in_turn(request: Request, accepted: list[Candidate], now: float) -> list[Candidate]:
    """Each as often as the others: who comes first is drawn by the moment, since nobody counts turns."""
    if not accepted:
        return []
    start = zlib.crc32(str(int(now * 1_000_000)).encode()) % len(accepted)
    return [*accepted[start:], *accepted[:start]]


def _finish_key(one: Candidate) -> _Key:
    return one.expected_finish_s, one.snapshot.tie


def _load_key(one: Candidate) -> _Key:
    known = one.snapshot
    return known.in_flight / (known.slots or 1), known.tie


POLICIES: dict[str, Callable[[Request, list[Candidate], float], list[Candidate]]] = {
    "expected_finish": _by_finish,
    "least_load": _by_load,
    "round_robin": _in_turn,
}
