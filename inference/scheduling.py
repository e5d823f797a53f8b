"""Decides which engine a request goes to: hard filters, then a rank, with the reasons of both. Pure.

Imports no Django, no HTTP and no clock.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

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
    resident. `aliases` maps names that clients may use to models.
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


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for. `model` empty: whatever is resident. `holder` is the lock the caller may pass under.

    `embeds`: vectors are asked for, which models that only embed give, and most others too.
    """

    model: str = ""
    embeds: bool = False
    expected_tokens: int = DEFAULT_TOKENS
    nodes: frozenset[int] = frozenset()
    holder: str = ""
    needs_lock: bool = False
    avoid: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Candidate:
    """An engine that may take the request, the model it would run, and when it would be done."""

    engine_id: int
    node_id: int
    model: str
    expected_finish_s: float
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Decision:
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
    """The decision for one request; `now` (seconds) turns the round-robin policy and nothing else.

    Policies: `expected_finish` (default), `least_load` (share of busy slots, then measured load),
    `round_robin` (the yardstick).
    """
    rejected: dict[int, str] = {}
    accepted: list[tuple[EngineSnapshot, str]] = []
    for snapshot in snapshots:
        model = model_on(request.model, snapshot, embeds=request.embeds)
        problem = obstacle(request, snapshot, model)
        if problem:
            rejected[snapshot.engine_id] = problem
        else:
            accepted.append((snapshot, model or ""))
    if policy == "round_robin":
        ordered = _in_turn(accepted, now)
    else:
        rank = _POLICIES[policy]
        ordered = sorted(accepted, key=lambda pair: rank(request, pair[0], pair[1], now))
    return Decision(tuple(_candidate(request, snapshot, model) for snapshot, model in ordered), rejected)


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


def same_model(asked: str, has: str) -> bool:
    """Whether two names mean one model; a name without a tag means its `latest`, as Ollama has it."""
    return asked == has or (":" not in asked and has == f"{asked}:latest")


def model_on(asked: str, snapshot: EngineSnapshot, *, embeds: bool = False) -> str | None:
    """The engine's own name of the model asked for; for `auto` (empty) what is resident, else what is on disk.

    Vectors by any model come from one that only embeds.
    """
    embedders = sorted(snapshot.embedders, key=lambda name: not snapshot.embedders[name]) if embeds else ()
    if not asked:
        return next(iter(embedders if embeds else snapshot.resident or snapshot.on_disk), None)
    names = (*embedders, *snapshot.resident, *snapshot.on_disk)
    asked = snapshot.aliases.get(asked, asked)
    return next((name for name in names if same_model(asked, name)), None)


def expected_finish(request: Request, snapshot: EngineSnapshot, model: str) -> float:
    """Seconds until this request would be done there.

    Measured seconds per request where there are some, else (queued + own tokens) ÷ tokens per second; requests
    in flight share the slots, those beyond wait a turn each; loading a model that is not resident is added.
    """
    speed = snapshot.speeds.get(model, UNMEASURED_TOKENS_PER_SECOND)
    own = snapshot.seconds.get(model, request.expected_tokens / speed)
    waiting_turns = snapshot.in_flight / max(snapshot.slots, 1)
    load = 0.0 if snapshot.has_loaded(model) else LOAD_SECONDS
    return own * (1 + waiting_turns) + snapshot.queued_tokens / speed + load


def _candidate(request: Request, snapshot: EngineSnapshot, model: str) -> Candidate:
    finish = expected_finish(request, snapshot, model)
    reasons = [f"done in about {finish:.1f} s", f"{snapshot.in_flight} of {snapshot.slots} slots busy"]
    if model in snapshot.speeds:
        reasons.append(f"{snapshot.speeds[model]:.0f} tokens/s measured")
    reasons.append("model resident" if snapshot.has_loaded(model) else "model must be loaded")
    return Candidate(snapshot.engine_id, snapshot.node_id, model, finish, tuple(reasons))


_Key = tuple[float, ...]


def _by_finish(request: Request, snapshot: EngineSnapshot, model: str, now: float) -> _Key:
    load = snapshot.load_percent if snapshot.load_percent is not None else 50.0
    return (expected_finish(request, snapshot, model), not snapshot.has_gpu, load, snapshot.engine_id)


def _by_load(request: Request, snapshot: EngineSnapshot, model: str, now: float) -> _Key:
    load = snapshot.load_percent if snapshot.load_percent is not None else 50.0
    busy = snapshot.in_flight / max(snapshot.slots, 1)
    return (busy, not snapshot.has_gpu, load, snapshot.engine_id)


def _in_turn(accepted: Sequence[tuple[EngineSnapshot, str]], now: float) -> list[tuple[EngineSnapshot, str]]:
    """Each as often as the others: who comes first is drawn by the moment, since nobody counts turns."""
    if not accepted:
        return []
    start = zlib.crc32(str(int(now * 1_000_000)).encode()) % len(accepted)
    return [*accepted[start:], *accepted[:start]]


_POLICIES: dict[str, Callable[[Request, EngineSnapshot, str, float], _Key]] = {
    "expected_finish": _by_finish,
    "least_load": _by_load,
}
