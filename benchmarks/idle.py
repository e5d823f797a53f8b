"""What an installation costs while nothing happens: processor and memory of all its processes, simulators aside."""

from __future__ import annotations

import time

from benchmarks.fleet import fleet
from benchmarks.memory import kilobytes, processor_seconds
from benchmarks.report import Row, Section
from tests.chaos.installation import role_of

SETTLE_S = 15.0
SECONDS = 60.0
AIM_CPU = 3.0
AIM_PSS_MB = 350.0


def measure() -> Section:
    """Three nodes, no jobs, one minute."""
    with fleet([100, 100, 100]) as (installation, _):
        time.sleep(SETTLE_S)
        processes = installation.everything()
        before = processor_seconds(processes)
        time.sleep(SECONDS)
        percent = 100 * (processor_seconds(processes) - before) / SECONDS
        each = sorted(
            ((kilobytes(one, "Pss") / 1024, role_of(one) or "other") for one in processes), reverse=True
        )
    total = sum(megabytes for megabytes, _ in each)
    parts = ", ".join(f"{name} {megabytes:.0f}" for megabytes, name in each)
    rows = [
        Row("processor, share of one core", f"{percent:.1f} %", f"< {AIM_CPU:g} %", percent < AIM_CPU),
        Row(
            "proportional memory of all processes",
            f"{total:.0f} MB",
            f"< {AIM_PSS_MB:.0f} MB",
            total < AIM_PSS_MB,
        ),
        Row("of which (MB)", parts),
    ]
    return Section("Idle installation", "`manage.py up` on SQLite, three nodes, no jobs, one minute.", rows)
