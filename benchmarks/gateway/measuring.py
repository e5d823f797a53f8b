"""Measures the gateway beside nginx, a bare ASGI proxy and LiteLLM, in one interleaved run on one core each.

The engine is a stub that is never the bottleneck. The gateways have one worker on one core; stub and client have
the others. Every contender has its turn in each round, so that what else the machine does touches all.
"""

from __future__ import annotations

from contextlib import ExitStack

from benchmarks.gateway import table
from benchmarks.gateway.contenders import bare, direct, dpl, litellm, nginx, stub
from benchmarks.gateway.rounds import Plan, Results, settle
from benchmarks.report import Section


def measure(*, is_quick: bool = False) -> Section:
    """All loads on all contenders that are on this machine; about twelve minutes, or two when `is_quick`."""
    plan = Plan.quick() if is_quick else Plan()
    with ExitStack() as stack:
        engines = stack.enter_context(stub())
        ours = stack.enter_context(dpl(engines))
        found = [stack.enter_context(start(engines)) for start in (direct, bare, nginx, litellm)]
        settle(ours)
        results = Results(plan, [ours, *(one for one in found if one is not None)])
        rows = table.rows(results)
    return Section("Gateway", table.note(results), rows)
