"""What `npu-smi info` prints, read as chips and processes. Pure.

A chip takes two rows, and which cell stands where is told by the two rows of the head: models and versions of the
tool differ in columns (Device, Phy-ID, no HBM, an id in a column of its own). Cells may be `-`, `NA` or empty.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

_MIB = 1 << 20
_NUMBER = re.compile(r"-?\d{1,9}(?:\.\d{1,6})?$")
_PAIR = re.compile(r"(\d{1,9})\s*/\s*(\d{1,9})")
_BUS = re.compile(r"(?:[0-9A-Fa-f]{4,8}:)[0-9A-Fa-f]{2}:[0-9A-Fa-f]{2}\.[0-9A-Fa-f]$")
_HEALTHS = {"ok": "OK", "warning": "Warning", "alarm": "Alarm", "critical": "Critical", "unknown": "Unknown"}
MOST_CHIPS = 64
MOST_PROCESSES = 512


@dataclass(frozen=True)
class Chip:
    """One chip; `npu` and `chip` are the tool's own numbers. None where a cell tells nothing."""

    npu: int
    chip: int
    name: str | None = None
    health: str | None = None
    bus: str | None = None
    power_w: float | None = None
    temperature_c: float | None = None
    utilization_percent: float | None = None
    memory_used_bytes: int | None = None
    memory_total_bytes: int | None = None


@dataclass(frozen=True)
class Process:
    """One process on a chip; the tool leaves names blank and cuts them."""

    npu: int
    chip: int
    pid: int
    name: str | None
    memory_bytes: int | None


@dataclass
class Table:
    """Everything that could be read; `unread` counts rows of chips or processes that made no sense."""

    chips: list[Chip] = field(default_factory=list)
    processes: list[Process] = field(default_factory=list)
    unread: int = 0


def parse(text: str) -> Table:
    """The table in the tool's output, as far as it is one; a table that is cut gives its whole chips."""
    table = Table()
    upper: list[str] | None = None
    has_hbm = True
    in_processes = False
    for cells in _rows(text):
        joined = " ".join(cells).lower()
        if "process id" in joined:
            in_processes, upper = True, None
        elif "memory-usage" in joined:
            has_hbm = "hbm-usage" in joined
        elif _is_head(joined):
            continue
        elif in_processes and not _is_health(cells):
            _add_process(table, cells)
        elif _is_health(cells):
            table.unread += upper is not None
            upper, in_processes = cells, False
        elif upper is not None:
            _add_chip(table, upper, cells, has_hbm)
            upper = None
    table.unread += upper is not None
    return table


def _rows(text: str) -> Iterator[list[str]]:
    for line in text.splitlines():
        stripped = line.strip()
        if stripped.startswith("|") and stripped.count("|") >= 2:
            yield [cell.strip() for cell in stripped.strip("|").split("|")]


def _is_head(joined: str) -> bool:
    return joined.startswith(("npu-smi", "npu ", "npu id", "chip ")) or "no running processes" in joined


def _is_health(cells: list[str]) -> bool:
    """Whether this is a chip's first row: its health stands before the last cell."""
    return len(cells) >= 3 and cells[-2].lower() in _HEALTHS


def _add_chip(table: Table, upper: list[str], lower: list[str], has_hbm: bool) -> None:
    identity = " ".join(upper[:-2]).split()
    if len(lower) < 3 or not identity or not identity[0].isdecimal() or len(table.chips) >= MOST_CHIPS:
        table.unread += 1
        return
    # Where the head has no chip number (one column more instead), a card has one chip.
    chip = (" ".join(lower[:-2]).split() or ["0"])[0]
    power, heat = [*upper[-1].split(), "-", "-"][:2]
    used, total = _memory(lower[-1], has_hbm)
    table.chips.append(
        Chip(
            npu=_small(identity[0]),
            chip=_small(chip),
            name=" ".join(identity[1:])[:100] or None,
            health=_HEALTHS[upper[-2].lower()],
            bus=lower[-2] if _BUS.match(lower[-2]) else None,
            power_w=_number(power),
            temperature_c=_number(heat),
            utilization_percent=_percent(([*lower[-1].split(), "-"])[0]),
            memory_used_bytes=used,
            memory_total_bytes=total,
        )
    )


def _memory(cell: str, has_hbm: bool) -> tuple[int | None, int | None]:
    """Used and total bytes: of the HBM where there is some, else of the chip's other memory."""
    pairs = [(int(used), int(total)) for used, total in _PAIR.findall(cell)]
    if not pairs:
        return None, None
    used, total = pairs[1] if has_hbm and len(pairs) > 1 and pairs[1][1] else pairs[0]
    return (used * _MIB, total * _MIB) if total else (None, None)


def _add_process(table: Table, cells: list[str]) -> None:
    where = cells[0].split()
    pid = cells[1] if len(cells) > 1 else ""
    is_row = bool(where) and all(part.isdecimal() for part in where) and pid.isdecimal() and len(pid) <= 10
    if not is_row or len(cells) < 4 or len(table.processes) >= MOST_PROCESSES:
        table.unread += 1
        return
    memory = _number(cells[3])
    table.processes.append(
        Process(
            npu=_small(where[0]),
            chip=_small(where[1]) if len(where) > 1 else 0,
            pid=int(pid),
            name=cells[2] if cells[2] and cells[2] != "-" else None,
            memory_bytes=int(memory * _MIB) if memory is not None else None,
        )
    )


def _small(text: str) -> int:
    return int(text[:6]) if text.isdecimal() and text.isascii() else 0


def _number(text: str) -> float | None:
    value = float(text) if _NUMBER.match(text) else None
    return value if value is not None and value >= 0 else None


def _percent(text: str) -> float | None:
    value = _number(text)
    return value if value is not None and value <= 100 else None
