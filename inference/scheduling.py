"""Decides which engine a request goes to: hard filters, then a rank, with the reasons of both. Pure.

Imports no Django, no HTTP and no clock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from inference.model_names import spellings
from inference.ranking import POLICIES

DEFAULT_TOKENS = 256
UNMEASURED_TOKENS_PER_SECOND = 20.0
"""What an engine is taken for until it has been measured: slow enough to be tried, not to be flooded."""
LOAD_SECONDS = 20.0
"""What loading a model that is not resident is taken to cost."""


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

    tie: tuple[bool, float, int] = field(init=False, compare=False, repr=False)
    """What decides between engines that would be done at the same moment: GPU before CPU, then the lower load."""

    def __post_init__(self) -> None:
        load = 50.0 if self.load_percent is None else self.load_percent
        object.__setattr__(self, "tie", (not self.has_gpu, load, self.engine_id))

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


class Sifted(NamedTuple):
    """The engines that may take a request, each with its own name of the model, and why each of the others may not."""

    accepted: Sequence[tuple[EngineSnapshot, str]]
    rejected: Mapping[int, str]


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
    return rank(request, sift(request, snapshots), now, policy)


def sift(request: Request, snapshots: Sequence[EngineSnapshot]) -> Sifted:
    """The hard filters: what of an engine matters here changes from probe to probe, not from request to request."""
    rejected: dict[int, str] = {}
    accepted: list[tuple[EngineSnapshot, str]] = []
    for snapshot in snapshots:
        model = model_on(request.model, snapshot, embeds=request.embeds)
        problem = obstacle(request, snapshot, model)
        if problem:
            rejected[snapshot.engine_id] = problem
        else:
            accepted.append((snapshot, model or ""))
    return Sifted(accepted, rejected)


def rank(request: Request, sifted: Sifted, now: float, policy: str) -> Decision:
    """The engines that may take the request, in the policy's order."""
    candidates = [
        Candidate(snapshot, model, expected_finish(request, snapshot, model))
        for snapshot, model in sifted.accepted
    ]
    return Decision(tuple(POLICIES[policy](request, candidates, now)), sifted.rejected)


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
    if asked in snapshot.resident and not embeds and asked not in snapshot.aliases:
        return asked  # as it is with most
    embedders: Sequence[str] = ()
    if embeds:
        embedders = sorted(snapshot.embedders, key=lambda name: not snapshot.embedders[name])
    if not asked:
        return next(iter(embedders if embeds else snapshot.resident or snapshot.on_disk), None)
    wanted = spellings(snapshot.aliases.get(asked, asked))
    names = (*embedders, *snapshot.resident, *snapshot.on_disk)
    return next((name for name in names if name in wanted), None)


def expected_finish(request: Request, snapshot: EngineSnapshot, model: str) -> float:
    """Seconds until this request would be done there.

    Measured seconds per request where there are some, else (queued + own tokens) ÷ tokens per second; requests
    in flight share the slots, those beyond wait a turn each; loading a model that is not resident is added.
    """
    own = snapshot.seconds.get(model)
    if own is None or snapshot.queued_tokens:
        speed = snapshot.speeds.get(model, UNMEASURED_TOKENS_PER_SECOND)
        own = request.expected_tokens / speed if own is None else own
        queued = snapshot.queued_tokens / speed
    else:
        queued = 0.0
    load = 0.0 if model in snapshot.resident or snapshot.has_loaded(model) else LOAD_SECONDS
    return own * (1 + snapshot.in_flight / (snapshot.slots or 1)) + queued + load


def _facts(snapshot: EngineSnapshot, model: str) -> list[str]:
    facts = [f"{snapshot.in_flight} of {snapshot.slots} slots busy"]
    if model in snapshot.speeds:
        facts.append(f"{snapshot.speeds[model]:.0f} tokens/s measured")
    facts.append("model resident" if snapshot.has_loaded(model) else "model must be loaded")
    return facts
