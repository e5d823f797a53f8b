"""Decides which alerts take which step, over all rules and the whole fleet at one moment. Pure but for its windows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from alerts import metrics
from alerts.looks import Look
from alerts.matching import Matcher, is_in_scope
from alerts.rules import Measured, RuleSpec, Standing, Transition, ended, evaluate
from alerts.samples import Key, Samples
from alerts.states import COMPARE, Aggregation, AlertState, NoData, Operator

OFF = "its rule is switched off or removed"
ELSEWHERE = "its rule does not look here any more"
OTHER = "its rule watches something else now"
NO_NODE = "its node is out of the fleet"
GONE = "what it was about is gone"
_IS_DOWN = (AlertState.PENDING, AlertState.FIRING)


@dataclass(frozen=True, slots=True)
class Ruled:
    """A rule with where it looks."""

    spec: RuleSpec
    scopes: tuple[Matcher, ...] = ()


@dataclass(frozen=True, slots=True)
class Stands:
    """An alert's row as judging needs it: its id, what it is about, and its state."""

    alert_id: int
    metric: str
    standing: Standing


@dataclass(frozen=True, slots=True)
class Step:
    """A transition of one instance; `alert_id` None: it had no alert yet."""

    rule: RuleSpec
    key: Key
    alert_id: int | None
    transition: Transition


def judge(
    rules: Sequence[Ruled],
    look: Look,
    standing: Mapping[Key, Stands],
    samples: Samples,
    *,
    stale_ms: int,
) -> list[Step]:
    """The steps that are due, rules about nodes that are down first: what follows from those is held.

    `standing` are the alerts that have not ended, of these rules and of rules that are no more.
    """
    judged = _Judged(look, standing, samples, stale_ms)
    for ruled in sorted(rules, key=lambda one: one.spec.metric not in metrics.DOWN):
        if ruled.spec.metric not in metrics.DOWN and judged.down is None:
            judged.down = judged.down_nodes(rules)
        judged.rule(ruled)
    judged.leave({ruled.spec.id: ruled for ruled in rules})
    return judged.steps


class _Judged:
    """One pass over the rules: what was decided, and which alerts were come by."""

    def __init__(self, look: Look, standing: Mapping[Key, Stands], samples: Samples, stale_ms: int) -> None:
        self.look, self.standing, self.samples, self.stale_ms = look, standing, samples, stale_ms
        self.steps: list[Step] = []
        self.down: set[int | None] | None = None
        self._seen: set[Key] = set()

    def rule(self, ruled: Ruled) -> None:
        """Judge every instance of one rule. Most series of a fleet are well, and leave here at once."""
        spec, samples = ruled.spec, self.samples
        standing = {key: stands for key, stands in self.standing.items() if key[0] == spec.id}
        has_window = bool(spec.window_s) and spec.aggregation is not Aggregation.LAST
        is_hot, threshold = COMPARE[spec.operator], spec.fire_value
        for node_id, subject, value in self._instances(ruled):
            if not has_window and value is not None and not standing and not is_hot(value, threshold):
                continue
            key = (spec.id, node_id, subject)
            measured = samples.measure(spec, key, value, self.look.at_ms, self.stale_ms)
            stands = standing.get(key)
            if stands is None and measured.value is not None and not is_hot(measured.value, threshold):
                continue
            self._take(spec, key, measured, stands)

    def leave(self, rules: Mapping[int, Ruled]) -> None:
        """Judge the alerts that no instance came by: their rule, node or subject is not there, or has no data."""
        for key, stands in self.standing.items():
            if key in self._seen:
                continue
            ruled = rules.get(key[0])
            why = self._why_gone(key, stands, ruled)
            if ruled is None or why:
                spec = ruled.spec if ruled else _nameless(key[0], stands)
                step = ended(spec, stands.standing, self.look.at_ms, why or OFF)
                if step is not None:
                    self.steps.append(Step(spec, key, stands.alert_id, step))
            else:
                measured = self.samples.measure(ruled.spec, key, None, self.look.at_ms, self.stale_ms)
                self._take(ruled.spec, key, measured, stands)

    def down_nodes(self, rules: Sequence[Ruled]) -> set[int | None]:
        """The nodes that an alert says are down, as things stand after this moment's steps."""
        of_down = {ruled.spec.id for ruled in rules if ruled.spec.metric in metrics.DOWN}
        states = {key: stands.standing.state for key, stands in self.standing.items() if key[0] in of_down}
        states |= {step.key: step.transition.new for step in self.steps if step.key[0] in of_down}
        return {key[1] for key, state in states.items() if state in _IS_DOWN}

    def _take(self, spec: RuleSpec, key: Key, measured: Measured, stands: Stands | None) -> None:
        self._seen.add(key)
        standing, alert_id = (stands.standing, stands.alert_id) if stands else (None, None)
        if stands is not None and stands.metric != spec.metric:
            step = ended(spec, stands.standing, self.look.at_ms, OTHER)
        else:
            is_held = spec.metric not in metrics.DOWN and key[1] in (self.down or ())
            step = evaluate(spec, measured, standing, self.look.at_ms, is_held=is_held)
        if step is not None:
            self.steps.append(Step(spec, key, alert_id, step))

    def _instances(self, ruled: Ruled) -> Iterator[tuple[int | None, str, float | None]]:
        """What the rule looks at, each with its value now; None where no data is a reason to fire."""
        spec, found = ruled.spec, self.look.readings.get(ruled.spec.metric, [])
        inside = self._inside(ruled)
        if inside is None and spec.no_data is not NoData.ALERT:
            yield from found
            return
        for node_id, subject, value in found:
            if inside is None or node_id in inside:
                yield node_id, subject, value
        if spec.no_data is not NoData.ALERT:
            return
        has_data = {node_id for node_id, _, _ in found}
        where: set[int | None] = set(self.look.machines) if metrics.is_of_nodes(spec.metric) else {None}
        for node_id in where - has_data:
            if inside is None or node_id in inside:
                yield node_id, "", None

    def _inside(self, ruled: Ruled) -> set[int | None] | None:
        """The nodes that a rule looks at; None for all. Scopes are about nodes, so they mean nothing elsewhere."""
        if not ruled.scopes or not metrics.is_of_nodes(ruled.spec.metric):
            return None
        machines = self.look.machines.values()
        return {one.id for one in machines if is_in_scope(one.place(ruled.spec.id), ruled.scopes)}

    def _why_gone(self, key: Key, stands: Stands, ruled: Ruled | None) -> str:
        """Why an alert that no instance came by is over; empty when it has no data just now."""
        if ruled is None:
            return OFF
        spec, node_id = ruled.spec, key[1]
        if stands.metric != spec.metric:
            return OTHER
        if node_id is None:
            return "" if metrics.is_of_nodes(spec.metric) or key[2] == "" else GONE
        machine = self.look.machines.get(node_id)
        if machine is None:
            return NO_NODE
        if not is_in_scope(machine.place(spec.id), ruled.scopes):
            return ELSEWHERE
        is_plain = metrics.is_of_one_per_node(spec.metric)
        is_known_missing = machine.is_fresh or spec.metric == metrics.ENGINE_UP
        return GONE if not is_plain and is_known_missing and spec.no_data is not NoData.ALERT else ""


def _nameless(rule_id: int, stands: Stands) -> RuleSpec:
    """A stand-in for a rule that is no more."""
    return RuleSpec(rule_id, "", stands.metric, Operator.ABOVE, 0.0, 0.0)
