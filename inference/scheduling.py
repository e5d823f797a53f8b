"""Decides which engine a request goes to: hard filters, then a rank, with the reasons of both. Pure.

Imports no Django, no HTTP and no clock.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from inference.model_names import spellings

DEFAULT_TOKENS = 256
UNMEASURED_TOKENS_PER_SECOND = 20.0
"""What an engine is taken for until it has been measured: slow enough to be tried, not to be flooded."""
LOAD_SECONDS = 20.0
"""What loading a model that is not resident is taken to cost."""
HOME_BOUND = 3.0
"""A conversation stays with its engine while that would be done at most so much later than the best."""
AFFINITY_BOUND = 1.25
"""A new conversation goes by its hash to one of those that would be done at most so much later than the best."""
TIE_BOUND = 1.05
"""Engines that would be done within so much of the best are taken for equally good."""
_64_BITS = 2**64 - 1


@dataclass(frozen=True, slots=True)
class EngineSnapshot:
    """What is known of one engine at one moment.

    `locked_by` is the standing lock on its node: empty, a person's or agent's owner name, or `job:<id>`.
    `speeds` are measured tokens per second, `seconds` measured seconds per request, both by model.
    `resident` and `on_disk` are models that generate; `embedders` those that only embed, with whether each is
    resident. `aliases` maps names that clients may use to models; `contexts` gives the tokens of context that a
    resident model was loaded with, where the engine says.
    """

    engine_id: int
    node_id: int
    node_name: str
    is_online: bool
    problem: str = ""
    locked_by: str = ""
    is_breaker_open: bool = False
    resident: tuple[str, ...] = ()
    on_disk: tuple[str, ...] = ()
    embedders: Mapping[str, bool] = field(default_factory=dict)
    contexts: Mapping[str, int] = field(default_factory=dict)
    aliases: Mapping[str, str] = field(default_factory=dict)
    slots: int = 1
    in_flight: int = 0
    queued_tokens: int = 0
    has_gpu: bool = False
    load_percent: float | None = None
    speeds: Mapping[str, float] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)

    def has_loaded(self, model: str) -> bool:
        """Whether a model is resident here."""
        return model in self.resident or self.embedders.get(model, False)


class Request(NamedTuple):
    """What is asked for. `model` empty: whatever is resident. `holder` is the lock the caller may pass under.

    `embeds`: vectors are asked for, which models that only embed give, and most others too. `prefix` is a hash
    of the conversation's beginning, 0 for none; `home` is the engine that answered it last.
    """

    model: str = ""
    embeds: bool = False
    expected_tokens: int = DEFAULT_TOKENS
    nodes: frozenset[int] = frozenset()
    holder: str = ""
    needs_lock: bool = False
    avoid: frozenset[int] = frozenset()
    prefix: int = 0
    home: int | None = None


class Candidate(NamedTuple):
    """An engine that may take the request, its own name of the model, and when it would be done.

    `note` says what spoke for it besides. A tuple, since a decision over 1,000 engines makes as many.
    """

    snapshot: EngineSnapshot
    model: str
    expected_finish_s: float
    note: str = ""

    @property
    def engine_id(self) -> int:
        """The engine."""
        return self.snapshot.engine_id

    @property
    def node_id(self) -> int:
        """Its node."""
        return self.snapshot.node_id

    @property
    def context(self) -> int:
        """The tokens of context that the engine has the model loaded with; 0 when that is not known."""
        return self.snapshot.contexts.get(self.model, 0)

    def why(self) -> tuple[str, ...]:
        """Why it stands where it stands, in words."""
        found = [f"done in about {self.expected_finish_s:.1f} s", *_facts(self.snapshot, self.model)]
        return (*found, self.note) if self.note else tuple(found)


class Decision(NamedTuple):
    """The candidates, best first, and why each of the others was left out (by engine id)."""

    candidates: tuple[Candidate, ...]
    rejected: Mapping[int, str]

    @property
    def best(self) -> Candidate | None:
        """The engine to go to, or None when none may take it."""
        return self.candidates[0] if self.candidates else None


def choose(
    request: Request, snapshots: Sequence[EngineSnapshot], now: float, policy: str = "expected_finish"
) -> Decision:
    """The decision for one request; `now` (seconds) turns the round-robin policy and near ties, nothing else.

    Policies: `expected_finish` (default), `least_load` (share of busy slots, then measured load),
    `round_robin` (the yardstick).
    """
    rejected: dict[int, str] = {}
    accepted: list[Candidate] = []
    for snapshot in snapshots:
        model = model_on(request.model, snapshot, embeds=request.embeds)
        problem = obstacle(request, snapshot, model)
        if problem:
            rejected[snapshot.engine_id] = problem
        else:
            name = model or ""
            accepted.append(Candidate(snapshot, name, expected_finish(request, snapshot, name)))
    return Decision(tuple(POLICIES[policy](request, accepted, now)), rejected)


def obstacle(request: Request, snapshot: EngineSnapshot, model: str | None) -> str:
    """Why this engine may not take the request; empty when it may."""
    if request.nodes and snapshot.node_id not in request.nodes:
        return "not among the nodes that were asked for"
    if not snapshot.is_online:
        return f"offline: {snapshot.problem}" if snapshot.problem else "offline"
    if snapshot.locked_by and snapshot.locked_by != request.holder:
        return f"locked by {snapshot.locked_by}"
    if request.needs_lock and snapshot.locked_by != request.holder:
        return "not locked for this job yet"
    if snapshot.is_breaker_open:
        return f"breaker open: {snapshot.problem}" if snapshot.problem else "breaker open"
    if snapshot.slots < 1:
        return "it has no slots"
    if snapshot.engine_id in request.avoid:
        return "it has just failed this request"
    if model is None:
        return f"does not have {request.model}" if request.model else "has no model"
    return ""


def model_on(asked: str, snapshot: EngineSnapshot, *, embeds: bool = False) -> str | None:
    """The engine's own name of the model asked for; for `auto` (empty) what is resident, else what is on disk.

    Vectors by any model come from one that only embeds.
    """
    embedders = sorted(snapshot.embedders, key=lambda name: not snapshot.embedders[name]) if embeds else []
    if not asked:
        return next(iter(embedders if embeds else snapshot.resident or snapshot.on_disk), None)
    wanted = spellings(snapshot.aliases.get(asked, asked) if snapshot.aliases else asked)
    names = snapshot.resident + snapshot.on_disk
    for name in (*embedders, *names) if embedders else names:
        if name in wanted:
            return name
    return None


def expected_finish(request: Request, snapshot: EngineSnapshot, model: str) -> float:
    """Seconds until this request would be done there.

    Measured seconds per request where there are some, else (queued + own tokens) ÷ tokens per second; requests
    in flight share the slots, those beyond wait a turn each; loading a model that is not resident is added.
    """
    speed = snapshot.speeds.get(model, UNMEASURED_TOKENS_PER_SECOND)
    own = snapshot.seconds.get(model, request.expected_tokens / speed)
    waiting_turns = snapshot.in_flight / (snapshot.slots or 1)
    load = 0.0 if model in snapshot.resident or snapshot.has_loaded(model) else LOAD_SECONDS
    return own * (1 + waiting_turns) + snapshot.queued_tokens / speed + load


def _facts(snapshot: EngineSnapshot, model: str) -> list[str]:
    facts = [f"{snapshot.in_flight} of {snapshot.slots} slots busy"]
    if model in snapshot.speeds:
        facts.append(f"{snapshot.speeds[model]:.0f} tokens/s measured")
    facts.append("model resident" if snapshot.has_loaded(model) else "model must be loaded")
    return facts


_Key = tuple[float, ...]


def _by_finish(request: Request, accepted: list[Candidate], now: float) -> list[Candidate]:
    """The first to be done, else the one that fits best of those that are about as good."""
    ordered = sorted(accepted, key=_finish_key)
    return _with_affinity(request, ordered) if request.prefix else _of_two(ordered, now)


def _with_affinity(request: Request, ordered: list[Candidate]) -> list[Candidate]:
    """The conversation stays with its engine, which remembers its beginning, while that is not much busier.

    One that was not seen yet goes where every process would send it, of those that are about as good.
    """
    first = next((one for one in ordered if one.engine_id == request.home), None)
    note = "it answered this conversation before"
    if first is None or first.expected_finish_s > ordered[0].expected_finish_s * HOME_BOUND:
        near = _near(ordered, AFFINITY_BOUND)
        if len(near) < 2:
            return ordered
        first = max(near, key=lambda one: _draw(request.prefix, one.engine_id))
        note = "the conversation's prefix belongs here"
    kept = first._replace(note=note)
    return [kept, *(one for one in ordered if one is not first)]


def _of_two(ordered: list[Candidate], now: float) -> list[Candidate]:
    """Of those that are as good as the best, the less busy one of two that are drawn.

    Processes that see the same fleet at the same moment would all choose the first; so they spread.
    """
    near = [one for one in _near(ordered, TIE_BOUND) if one.model in one.snapshot.seconds]
    if len(near) < 3:
        return ordered
    drawn = sorted(near, key=lambda one: _draw(int(now * 1_000_000), one.engine_id))[:2]
    first = min(drawn, key=_load_key)
    return [first, *(one for one in ordered if one is not first)]


def _near(ordered: list[Candidate], bound: float) -> list[Candidate]:
    """Those that would be done within `bound` times the best's time, and have a GPU if it has."""
    if not ordered:
        return []
    limit, has_gpu = ordered[0].expected_finish_s * bound, ordered[0].snapshot.has_gpu
    return [one for one in ordered if one.expected_finish_s <= limit and one.snapshot.has_gpu == has_gpu]


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
    known = one.snapshot
    load = known.load_percent
    return (one.expected_finish_s, not known.has_gpu, 50.0 if load is None else load, known.engine_id)


def _load_key(one: Candidate) -> _Key:
    known = one.snapshot
    load = known.load_percent
    busy = known.in_flight / (known.slots or 1)
    return (busy, not known.has_gpu, 50.0 if load is None else load, known.engine_id)


POLICIES: dict[str, Callable[[Request, list[Candidate], float], list[Candidate]]] = {
    "expected_finish": _by_finish,
    "least_load": _by_load,
    "round_robin": _in_turn,
}
