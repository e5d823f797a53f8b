"""How results are written: one table per measurement, with the machine and the date, each row with its aim."""

from __future__ import annotations

import platform
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import psutil

RESULTS = Path(__file__).parent / "RESULTS.md"
_HEAD = """# What was measured

Made by `make bench`; engines are simulated, all traffic is on the loopback interface. Ratios are taken within
one run. The reasons behind the figures stand in [docs/why](../docs/why/).
"""


@dataclass(frozen=True, slots=True)
class Row:
    """One figure: what, how much (with unit), what it should reach, whether it does."""

    what: str
    figure: str
    aim: str = ""
    is_reached: bool = True


@dataclass(frozen=True, slots=True)
class Section:
    """One measurement with its rows and a note on how it was made."""

    name: str
    note: str
    rows: Sequence[Row] = field(default_factory=tuple)

    def as_markdown(self) -> str:
        """The section as it stands in RESULTS.md."""
        lines = [
            f"## {self.name}",
            "",
            f"{stamp()}. {self.note}",
            "",
            "| what | measured | aim | |",
            "|---|---|---|---|",
        ]
        lines += [
            f"| {row.what} | {row.figure} | {row.aim} | {'reached' if row.is_reached else '**missed**'} |"
            if row.aim
            else f"| {row.what} | {row.figure} | | |"
            for row in self.rows
        ]
        return "\n".join(lines) + "\n"


def stamp() -> str:
    """The machine and the day."""
    day = datetime.now(UTC).date().isoformat()
    memory = psutil.virtual_memory().total / 2**30
    return f"{day}, {_processor()}, {psutil.cpu_count()} cores, {memory:.0f} GiB, Python {platform.python_version()}"


def write(sections: Sequence[Section]) -> None:
    """Put these sections into RESULTS.md in place of their older ones; the others stay."""
    old = RESULTS.read_text(encoding="utf-8") if RESULTS.exists() else _HEAD
    parts = {part.split("\n", 1)[0][3:]: part for part in re.split(r"(?m)^(?=## )", old)[1:]}
    parts |= {section.name: section.as_markdown() for section in sections}
    RESULTS.write_text(
        "\n".join([_HEAD, *(part.strip() + "\n" for part in parts.values())]), encoding="utf-8"
    )


def _processor() -> str:
    try:
        found = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    except OSError:
        found = None
    return found.group(1) if found else platform.processor() or platform.machine()
