"""`make bench`: runs the measurements named on the command line (all when none), writes benchmarks/RESULTS.md."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from functools import partial

from benchmarks import agent, efficiency, history, idle, overhead, pages, policies, watching
from benchmarks.gateway import measuring
from benchmarks.report import Section, write

MEASUREMENTS: dict[str, Callable[[], Section]] = {
    "efficiency": efficiency.measure,
    "overhead": overhead.measure,
    "idle": idle.measure,
    "agent": agent.measure,
    "policies": policies.measure,
    "gateway": measuring.measure,
    "fleet": watching.measure,
    "history": history.measure,
    "pages": pages.measure,
}
QUICK: dict[str, Callable[[], Section]] = {
    "gateway": partial(measuring.measure, is_quick=True),
    "fleet": partial(watching.measure, is_quick=True),
    "history": history.quick,
    "pages": partial(pages.measure, is_quick=True),
}


def main() -> int:
    """Run, print, write; 1 when a figure does not reach what it should."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*MEASUREMENTS, []], help="which ones; all by default")
    parser.add_argument("--quick", action="store_true", help="shorter where that is possible; writes nothing")
    given = parser.parse_args()
    names = given.names or list(MEASUREMENTS)
    sections = []
    for name in names:
        print(f"measuring {name} …", flush=True)
        section = QUICK.get(name, MEASUREMENTS[name])() if given.quick else MEASUREMENTS[name]()
        print(section.as_markdown(), flush=True)
        sections.append(section)
    if not given.quick:
        write(sections)
    return 0 if all(row.is_reached for section in sections for row in section.rows) else 1


if __name__ == "__main__":
    sys.exit(main())
