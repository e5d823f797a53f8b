"""The simulator's own paths: /sim/fault changes what fails, /sim/stats tells what happened."""

from __future__ import annotations

import json
import os

from agent.simulator.connection import Exchange, whole
from agent.simulator.engine import Engine
from agent.simulator.faults import FAULTS, UnknownFaultError

_JSON = "application/json"


class BadOrderError(ValueError):
    """A body of /sim/fault that makes no sense; the text says why."""


def control(engine: Engine, exchange: Exchange) -> None:
    """Answer a request to one of the simulator's own paths, in whatever state the engine plays."""
    wanted = (exchange.head.method, exchange.head.path)
    if wanted == ("GET", "/sim/stats"):
        _reply(exchange, 200, stats(engine))
    elif wanted == ("POST", "/sim/fault"):
        try:
            set_fault(engine, exchange.body)
        except (BadOrderError, UnknownFaultError) as error:
            _reply(exchange, 400, {"error": str(error)})
            return
        _reply(exchange, 200, {"fault": list(engine.faults.kinds), "rate": engine.faults.rate})
    else:
        _reply(exchange, 404, {"error": "there are GET /sim/stats and POST /sim/fault"})


def stats(engine: Engine) -> dict[str, object]:
    """What it is and what happened since its start: started = finished + failed + cancelled + in_flight + waiting."""
    counts, slots = engine.counts, engine.slots
    return {
        "pid": os.getpid(),
        "slots": slots.count,
        "model_bytes": sum(model.size for model, _ in engine.residency.loaded()),
        "started": counts.started,
        "finished": counts.finished,
        "failed": counts.failed,
        "cancelled": counts.cancelled,
        "in_flight": len(slots.busy),
        "in_flight_high_water": slots.high_water,
        "busy_seconds": slots.busy_seconds,
        "waiting": slots.waiting,
        "tokens": counts.tokens,
        "faults": {kind: engine.faults.counts[kind] for kind in FAULTS},
        "fault": list(engine.faults.kinds),
        "rate": engine.faults.rate,
    }


def set_fault(engine: Engine, raw: bytes) -> None:
    """Change what fails from now on: `{"fault": KIND | [KIND, …] | null, "rate": 0 to 1}` (rate 1 if left out)."""
    try:
        order = json.loads(raw)
    except (ValueError, RecursionError):
        raise BadOrderError('send {"fault": KIND, "rate": 0 to 1} as JSON') from None
    if not isinstance(order, dict):
        raise BadOrderError('send {"fault": KIND, "rate": 0 to 1} as JSON')
    fault, rate = order.get("fault"), order.get("rate", 1)
    kinds = [] if fault is None else [fault] if isinstance(fault, str) else fault
    if not isinstance(kinds, list) or any(not isinstance(kind, str) for kind in kinds):
        raise BadOrderError("fault must be a kind, a list of kinds or null")
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 <= rate <= 1:
        raise BadOrderError("rate must be a number from 0 to 1")
    engine.faults.set(kinds, float(rate))


def _reply(exchange: Exchange, status: int, body: object) -> None:
    exchange.write(whole(status, json.dumps(body, separators=(",", ":")).encode(), _JSON))
