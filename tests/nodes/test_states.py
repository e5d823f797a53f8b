"""A node's state follows from what was seen of its agent and engines, with the reason."""

from __future__ import annotations

import pytest

from nodes.states import LockMirror, NodeState, Seen, judge

WELL = Seen("engine", ok=True)
ILL = Seen("engine", ok=False, problem="refused")
AGENT = Seen("agent", ok=True)
SILENT = Seen("agent", ok=False, problem="silent")


@pytest.mark.parametrize(
    ("agent", "engines", "state", "reason"),
    [
        (None, [], NodeState.UNKNOWN, "it has neither an agent nor an engine"),
        (AGENT, [], NodeState.ONLINE, ""),
        (SILENT, [], NodeState.OFFLINE, "agent: silent"),
        (None, [WELL], NodeState.ONLINE, ""),
        (None, [ILL], NodeState.OFFLINE, "engine: refused"),
        (None, [WELL, ILL], NodeState.DEGRADED, "engine: refused"),
        (AGENT, [WELL], NodeState.ONLINE, ""),
        (AGENT, [ILL], NodeState.DEGRADED, "engine: refused"),
        (SILENT, [WELL], NodeState.DEGRADED, "agent: silent"),
        (SILENT, [ILL, ILL], NodeState.OFFLINE, "agent: silent; engine: refused; engine: refused"),
    ],
)
def test_it_judges_by_what_answers(
    agent: Seen | None, engines: list[Seen], state: NodeState, reason: str
) -> None:
    judgement = judge(agent, engines)
    assert (judgement.state, judgement.reason) == (state, reason)


def test_a_long_reason_is_cut_to_its_column() -> None:
    many = [Seen(f"engine {number}", ok=False, problem="x" * 50) for number in range(20)]
    assert len(judge(None, many).reason) == 300


def test_columns_offer_every_state() -> None:
    assert [value for value, _ in NodeState.pairs()] == ["unknown", "online", "degraded", "offline"]
    assert [value for value, _ in LockMirror.pairs()] == ["pending", "held", "unmirrored"]
