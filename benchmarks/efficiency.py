"""How much of a fleet's own speed a dataset gets: job rate ÷ sum of the nodes' own rates, beside an equal split."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.direct import equal_split, own_rate
from benchmarks.fleet import fleet, run_job
from benchmarks.report import Row, Section

SECONDS = 62.0
OWN_SECONDS = 8.0
SLOTS = 4
ITEM_MS = 200.0
EQUAL = (1, 2, 4, 8)
UNEQUAL = (1.0, 0.75, 0.5)
AIM = 0.95
AIM_OVER_SPLIT = 1.4
AIM_FIRST_DISPATCH_S = 1.0


def measure() -> Section:
    """Equal fleets of 1, 2, 4, 8, then one of unequal speed with the equal split in the same run."""
    rows = [row for count in EQUAL for row in _fleet_rows(f"{count} equal nodes", [ITEM_MS] * count)]
    name = "nodes of speed " + " : ".join(f"{speed:g}" for speed in UNEQUAL)
    rows += _fleet_rows(name, [ITEM_MS / speed for speed in UNEQUAL], against_split=True)
    note = (
        f"Items of {ITEM_MS:g} ms, {SLOTS} slots a node, {SECONDS:.0f} s a job. Efficiency is the job's rate, "
        "first dispatch to last result, ÷ the sum of what each node does alone under a closed-loop client."
    )
    return Section("Dataset efficiency", note, rows)


def _fleet_rows(name: str, latencies: Sequence[float], *, against_split: bool = False) -> list[Row]:
    with fleet(latencies, slots=SLOTS) as (installation, engines):
        slots = [(engine.url, SLOTS) for engine in engines]
        ideal = sum(own_rate(one, OWN_SECONDS) for one in slots)
        items = int(ideal * SECONDS)
        found = run_job(installation, items, patience_s=SECONDS * 3)
        efficiency = found["rate"] / ideal
        rows = [
            Row(
                f"{name}: efficiency",
                f"{efficiency:.3f} ({found['rate']:.1f} of {ideal:.1f} items/s)",
                f"≥ {AIM}",
                efficiency >= AIM,
            ),
            Row(
                f"{name}: upload answered to first dispatch",
                f"{found['first_dispatch_s']:.2f} s",
                f"< {AIM_FIRST_DISPATCH_S:g} s",
                found["first_dispatch_s"] < AIM_FIRST_DISPATCH_S,
            ),
        ]
        if against_split:
            gain = found["rate"] / equal_split(slots, items)
            rows.append(
                Row(
                    f"{name}: against an equal split",
                    f"{gain:.2f} ×",
                    f"≥ {AIM_OVER_SPLIT} ×",
                    gain >= AIM_OVER_SPLIT,
                )
            )
        return rows
