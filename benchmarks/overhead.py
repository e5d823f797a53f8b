"""What DPL itself costs per item: throughput with instant engines, and memory while a large dataset runs."""

from __future__ import annotations

import time
from statistics import median

from benchmarks.fleet import fleet, run_job
from benchmarks.memory import Sampler
from benchmarks.report import Row, Section
from tests.chaos.installation import Installation

ITEMS = 100_000
AIM_RATE = 800.0
AIM_MEMORY_MB = 300.0
AIM_GROWTH_MB = 20.0


def measure() -> Section:
    """One job of 100,000 items over four engines that answer at once; memory of every process each second."""
    with fleet([0, 0, 0, 0], slots=8) as (installation, _):
        run_job(installation, 2_000, patience_s=120)
        with Sampler(installation) as sampler:
            found = run_job(installation, ITEMS, patience_s=1_200)
        asked_s = _detailed_status_s(installation)
    tenth = max(1, len(sampler.peaks_mb) // 10)
    growth = median(sampler.peaks_mb[-2 * tenth : -tenth]) - median(sampler.peaks_mb[tenth : 2 * tenth])
    peak = max(sampler.peaks_mb)
    rows = [
        Row(
            "items/s, first dispatch to last result",
            f"{found['rate']:.0f}",
            f"≥ {AIM_RATE:.0f}",
            found["rate"] >= AIM_RATE,
        ),
        Row("items/s, upload included", f"{ITEMS / found['whole_s']:.0f}"),
        Row("upload of 100,000 rows, checked", f"{found['upload_s']:.1f} s"),
        Row("detailed status of that job, over HTTP", f"{1000 * asked_s:.0f} ms"),
        Row(
            "most anonymous memory of any process",
            f"{peak:.0f} MB",
            f"< {AIM_MEMORY_MB:.0f} MB",
            peak < AIM_MEMORY_MB,
        ),
        Row(
            "growth from the second to the ninth tenth of the run",
            f"{growth:+.0f} MB",
            f"< {AIM_GROWTH_MB:.0f} MB",
            growth < AIM_GROWTH_MB,
        ),
    ]
    note = f"{ITEMS:,} items, four simulated engines on the same machine that answer at once, 8 slots each."
    return Section("Dataset overhead", note, rows)


def _detailed_status_s(installation: Installation) -> float:
    """Seconds that one question for the largest job takes, the median of some."""
    largest = "SELECT id FROM datasets_job ORDER BY total DESC LIMIT 1"
    path = f"/api/dataset/detailed-status/{installation.rows(largest)[0][0]}"
    took = []
    for _ in range(7):
        began = time.perf_counter()
        installation.get(path)
        took.append(time.perf_counter() - began)
    return median(took)
