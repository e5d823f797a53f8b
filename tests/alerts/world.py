"""A fleet in rows under a clock of its own, ticked as a controller would; what it would send is caught."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from alerts import fleet, notices, selectors, services
from alerts.evaluation import Evaluator
from alerts.models import Alert, Channel, Rule
from alerts.notices import Claimed
from dpl_site.lib.messenger import Outcome
from inference.models import Engine, EngineStatus
from nodes.answers import parse_status
from nodes.models import Node, NodeStatus

TICK_S = 2
POST_S = 6


class World:
    """`run(seconds)` ticks; `controller` is the process that does: give it a new one to restart it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_ms = 1_700_000_000_000
        self._post_ms = 0
        self.controller = Evaluator()
        self.sent: list[Claimed] = []
        self.answer: Callable[[Claimed], Outcome] = lambda _: Outcome(True)
        for module in (fleet, notices, services):
            monkeypatch.setattr(module, "now_ms", lambda: self.now_ms)
        monkeypatch.setattr(selectors, "utc_now", lambda: datetime.fromtimestamp(self.now_ms / 1000, UTC))
        Rule.objects.all().delete()

    def node(self, name: str, **columns: Any) -> Node:
        """A node that is online, with an agent that tells nothing yet."""
        node = Node.objects.create(name=name, monitor_base_url=f"http://10.0.0.1/{name}", **columns)
        NodeStatus.objects.create(node=node, state="online")
        self.reads(node)
        return node

    def reads(self, node: Node, **told: Any) -> None:
        """What the node's agent told last."""
        status = parse_status(json.dumps({"agent_version": "1", **told}).encode())
        for gpu, kept in zip(status["gpus"], told.get("gpus", []), strict=False):
            gpu.update(kept)
        NodeStatus.objects.filter(node=node).update(
            reading=json.dumps(status),
            agent_error="",
            state="online",
            reason="",
            sampled_at=datetime.fromtimestamp(self.now_ms / 1000, UTC),
        )

    def heat(self, node: Node, *celsius: float | None) -> None:
        """The temperatures of its GPUs."""
        gpus = [
            {"index": index, "uuid": f"GPU-{index}", "temperature_c": one}
            for index, one in enumerate(celsius)
        ]
        self.reads(node, gpus=gpus)

    def falls_silent(self, node: Node) -> None:
        """Its agent does not answer, and something else on it does."""
        NodeStatus.objects.filter(node=node).update(
            agent_error="no answer", state="degraded", reason="agent: no answer"
        )

    def goes_down(self, *nodes: Node) -> None:
        """Nothing on them answers."""
        NodeStatus.objects.filter(node__in=nodes).update(
            agent_error="no answer", state="offline", reason="agent: no answer"
        )
        EngineStatus.objects.filter(engine__node__in=nodes).update(is_online=False)

    def comes_back(self, *nodes: Node) -> None:
        """All answers again."""
        NodeStatus.objects.filter(node__in=nodes).update(agent_error="", state="online", reason="")
        EngineStatus.objects.filter(engine__node__in=nodes).update(is_online=True)

    def engine(self, node: Node) -> Engine:
        """An engine on it that answers."""
        engine = Engine.objects.create(node=node, base_url=f"http://10.0.0.1:11434/{node.name}")
        EngineStatus.objects.create(engine=engine, is_online=True)
        return engine

    def rule(self, metric: str = "gpu_temperature_c", **columns: Any) -> Rule:
        """A rule: above 90 for a minute, until it is at 85 for two."""
        values: dict[str, Any] = {
            "operator": ">",
            "fire_value": 90,
            "clear_value": 85,
            "for_s": 60,
            "keep_s": 120,
        }
        return Rule.objects.create(**{"name": metric, "metric": metric, **values, **columns})

    def down_rule(self, **columns: Any) -> Rule:
        """The rule about nodes that are down."""
        values = {"operator": "<", "fire_value": 1, "clear_value": 1, "for_s": 15, "keep_s": 30}
        return self.rule("node_up", **{**values, "no_data": "keep", **columns})

    def channel(self, name: str = "ops", **columns: Any) -> Channel:
        """Where messages go."""
        return Channel.objects.create(name=name, kind="webhook", url=f"json://127.0.0.1/{name}", **columns)

    def run(self, seconds: float, *, every_s: int = TICK_S) -> None:
        """The controller's duties for so long."""
        for _ in range(int(seconds) // every_s):
            self.now_ms += every_s * 1000
            self.controller.step()
            if self.now_ms >= self._post_ms:
                self._post_ms = self.now_ms + POST_S * 1000
                notices.put_together()
                self.send()

    def send(self) -> None:
        """Hand out what is due, to a channel that answers as `answer` says."""
        for claimed in notices.claim():
            outcome = self.answer(claimed)
            if outcome.is_ok:
                self.sent.append(claimed)
            notices.record_outcome(claimed=claimed, outcome=outcome, took_ms=1)

    def states(self) -> list[str]:
        """The states of all alerts, the oldest first."""
        return list(Alert.objects.order_by("id").values_list("state", flat=True))

    def told(self) -> list[str]:
        """The titles that were sent, without the product's name; forgotten then."""
        titles = [claimed.title.removeprefix("DPL: ") for claimed in self.sent]
        self.sent.clear()
        return titles
