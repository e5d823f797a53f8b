"""A fleet of simulated engines with an installation that works through datasets on them, for measurements."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from tests.chaos.installation import Installation
from tests.engines.simulated import SimulatedEngine


@contextmanager
def fleet(
    latencies_ms: Sequence[float], *, slots: int = 4
) -> Iterator[tuple[Installation, list[SimulatedEngine]]]:
    """An installation with one node per latency; `slots` requests at once on each."""
    engines = [
        SimulatedEngine(latency_ms=latency, tokens_per_second=0, slots=slots, echo=True).start()
        for latency in latencies_ms
    ]
    installation = Installation(DPL_POLL_INTERVAL_S=2)
    try:
        installation.start()
        for place, engine in enumerate(engines):
            installation.manage("node", "add", f"sim{place}", "--llm", engine.url, "--slots", str(slots))
        yield installation, engines
    finally:
        installation.stop()
        for engine in engines:
            engine.kill()


def rows(count: int) -> list[dict[str, Any]]:
    """That many rows, each with a text of its own."""
    return [{"instruction": f"say {number}", "id": number} for number in range(count)]


def run_job(installation: Installation, items: int, *, patience_s: float) -> dict[str, float]:
    """Upload and run one dataset: seconds from upload to first dispatch, items/s from first dispatch to last result."""
    sent = time.time()
    job_id = installation.upload(rows(items), model="m")
    answered = time.time()
    state = f"SELECT state FROM datasets_job WHERE id = '{job_id}'"
    installation.wait_for(lambda: installation.rows(state)[0][0] == "completed", patience_s, "the job's end")
    where = f"FROM datasets_item WHERE job_id = '{job_id}'"
    first, last = installation.rows(f"SELECT min(finished_ms - duration_ms), max(finished_ms) {where}")[0]
    return {
        "rate": items / ((last - first) / 1000),
        "first_dispatch_s": max(0.0, first / 1000 - answered),
        "upload_s": answered - sent,
        "whole_s": last / 1000 - sent,
    }
