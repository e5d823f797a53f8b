"""What a preview answers: when a rule would have fired over values that are given, or over the fleet's last days."""

from __future__ import annotations

import math
from typing import Any

from alerts import changes, selectors
from alerts.models import Rule, RuleScope
from alerts.past import Past, past
from alerts.preview import Episode, would_have_fired
from alerts.rules import RuleSpec
from dpl_site.lib.clock import iso_ms
from dpl_site.lib.refusals import Refused
from nodes.measures import METRICS as OF_READINGS
from nodes.models import Node

MOST_CURVES = 6


def previewed(told: dict[str, Any]) -> dict[str, object]:
    """The answer for a rule with `samples`, or with `scopes` and `days`. Raises Refused."""
    samples, days, has_curves = told.pop("samples", None), told.pop("days"), told.pop("curves")
    scopes = told.pop("scopes", None) or []
    rule = selectors.spec_of(Rule(**changes.rule_values(told)))
    if samples is not None:
        return _answer([_episode(one, None, "") for one in would_have_fired(rule, _in_order(samples))])
    seen = past(rule, [selectors.matcher_of(RuleScope(**scope)) for scope in scopes], days=days)
    found = [_episode(one.episode, one.node, one.subject) for one in seen.episodes()]
    return _answer(found) | (_curves(rule, seen) if has_curves else {})


def _episode(one: Episode, node: Node | None, subject: str) -> dict[str, object]:
    return {
        "began_at": iso_ms(one.began_ms),
        "fired_at": iso_ms(one.fired_ms),
        "ended_at": iso_ms(one.ended_ms),
        "worst": one.worst,
        "node": node and {"id": node.id, "name": node.name},
        "subject": subject,
    }


def _answer(episodes: list[dict[str, object]]) -> dict[str, object]:
    return {"episodes": episodes, "fired": sum(one["fired_at"] is not None for one in episodes)}


def _curves(rule: RuleSpec, seen: Past) -> dict[str, object]:
    return {
        "has_history": rule.metric in OF_READINGS,
        "watched": len(seen.curves),
        "left_out": seen.left_out,
        "t": list(seen.times),
        "curves": [
            {
                "node": {"id": one.node.id, "name": one.node.name},
                "subject": one.subject,
                "fired": one.fired,
                "values": [value if value is None else round(value, 3) for value in one.values],
            }
            for one in seen.foremost(rule, MOST_CURVES)
        ],
    }


def _in_order(samples: list[list[float | None]]) -> list[tuple[int, float | None]]:
    """Samples as the policy takes them. Raises Refused for instants that are missing or out of order."""
    found: list[tuple[int, float | None]] = []
    for at_ms, value in samples:
        is_wrong = value is not None and not math.isfinite(value)
        if is_wrong or at_ms is None or not 0 <= at_ms < 1e14 or (found and at_ms < found[-1][0]):
            message = (
                "Samples are [epoch milliseconds, value], oldest first; a value is a finite number or null."
            )
            raise Refused(message, detail={"samples": [message]})
        found.append((int(at_ms), value))
    return found
