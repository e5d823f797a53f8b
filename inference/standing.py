"""Decides what the scheduler thinks of one node: which engines are in rotation, where a request would go. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from inference.scheduling import Candidate, Decision, EngineSnapshot, Request, choose, obstacle

OFFLINE, LOCKED, BREAKER, NO_SLOTS, NO_MODEL = "offline", "locked", "breaker", "no_slots", "no_model"


@dataclass(frozen=True, slots=True)
class Obstacle:
    """What keeps requests off an engine: one of the codes above, and more of it in words where there are any."""

    code: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Where the next request for a model would go, seen from one engine that has it.

    `place` is the engine's among the `of` that could take it, None when it could not: then `obstacle` says why.
    `finish_s` is when it would be done there, `first` the node that it would go to, done in `first_finish_s`.
    """

    place: int | None
    of: int
    finish_s: float | None
    first: str
    first_finish_s: float | None
    obstacle: Obstacle | None


@dataclass(frozen=True, slots=True)
class EngineStanding:
    """An engine's obstacle, None while it is in rotation, and the verdict for each of its models."""

    obstacle: Obstacle | None
    verdicts: dict[str, Verdict]


def standings(
    node_id: int, snapshots: Sequence[EngineSnapshot], now: float, policy: str
) -> dict[int, EngineStanding]:
    """Engine id → how each of the node's engines stands among all that there are."""
    return {
        one.engine_id: EngineStanding(
            _obstacle(one, next(iter(_models(one)), None)),
            {model: _verdict(one, model, snapshots, now, policy) for model in _models(one)},
        )
        for one in snapshots
        if one.node_id == node_id
    }


def _models(snapshot: EngineSnapshot) -> list[str]:
    return [*snapshot.resident, *snapshot.on_disk, *snapshot.embedders]


def _verdict(
    snapshot: EngineSnapshot, model: str, snapshots: Sequence[EngineSnapshot], now: float, policy: str
) -> Verdict:
    decision = choose(Request(model=model, embeds=model in snapshot.embedders), snapshots, now, policy)
    mine = next((one for one in decision.candidates if one.engine_id == snapshot.engine_id), None)
    return _seen_from(mine, decision, None if mine else _obstacle(snapshot, model))


def _seen_from(mine: Candidate | None, decision: Decision, obstacle: Obstacle | None) -> Verdict:
    best = decision.best
    return Verdict(
        place=decision.candidates.index(mine) + 1 if mine else None,
        of=len(decision.candidates),
        finish_s=mine.expected_finish_s if mine else None,
        first=best.snapshot.node_name if best else "",
        first_finish_s=best.expected_finish_s if best else None,
        obstacle=obstacle,
    )


def _obstacle(snapshot: EngineSnapshot, model: str | None) -> Obstacle | None:
    """The scheduler's own no, with a code that pages can say in any language."""
    if not obstacle(Request(model=model or ""), snapshot, model):
        return None
    if not snapshot.is_online:
        return Obstacle(OFFLINE, snapshot.problem)
    if snapshot.locked_by:
        return Obstacle(LOCKED, snapshot.locked_by)
    if snapshot.is_breaker_open:
        return Obstacle(BREAKER, snapshot.problem)
    return Obstacle(NO_SLOTS if snapshot.slots < 1 else NO_MODEL)
