"""The lives of a node and of a lock's mirror, as data, and how a node's state follows from what was seen."""

from __future__ import annotations

from dataclasses import dataclass

from dpl_site.lib.choices import Choices


class NodeState(Choices):
    """unknown: never asked; online: all answers; degraded: some; offline: nothing answers."""

    UNKNOWN = "unknown"
    ONLINE = "online"
    DEGRADED = "degraded"
    OFFLINE = "offline"


class LockMirror(Choices):
    """pending: not yet told to the agent; held: the agent holds it; unmirrored: there is no agent or it refuses."""

    PENDING = "pending"
    HELD = "held"
    UNMIRRORED = "unmirrored"


@dataclass(frozen=True, slots=True)
class Seen:
    """One thing that was asked: what it is called, whether it answered, and what was wrong if not."""

    name: str
    ok: bool
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Judgement:
    """A node's state with its reason."""

    state: NodeState
    reason: str


def judge(agent: Seen | None, engines: list[Seen]) -> Judgement:
    """A node's state from its agent (None: it has none) and its engines; the reason names what is wrong.

    A node without an agent is judged by its engines; one whose agent is silent while an engine answers is
    degraded: it still works.
    """
    asked = ([agent] if agent else []) + engines
    wrong = [seen for seen in asked if not seen.ok]
    reason = "; ".join(f"{seen.name}: {seen.problem}" for seen in wrong)[:300]
    if not asked:
        return Judgement(NodeState.UNKNOWN, "it has neither an agent nor an engine")
    if not wrong:
        return Judgement(NodeState.ONLINE, "")
    if len(wrong) == len(asked):
        return Judgement(NodeState.OFFLINE, reason)
    return Judgement(NodeState.DEGRADED, reason)
