"""AMD's GPUs through the files of the driver amdgpu: no library, no program, no root."""

from __future__ import annotations

import re
from pathlib import Path

from agent.clock import Clock, steady
from agent.gpus import GpuAbsentError, GpuReading, GpuUnavailableError
from agent.gpus.drm import AMD, PROC, Card, cards, holders, model_name
from agent.gpus.rows import gpu_process, unknown_gpu
from agent.gpus.sysfs import SYS, first_scaled, number, scaled, word
from agent.payloads import EccPayload, GpuPayload
from agent.processes import ProcessBook

PROCESSES_S = 10.0
_RAS = re.compile(r"^(ue|ce):\s*(\d{1,18})\s*$", re.M)
_CURRENT = re.compile(r":\s*(\d{1,6})\s*M[Hh]z\s*\*")


class AmdGpus:
    """Reads every card of the driver amdgpu. For one thread."""

    vendor = "amd"

    def __init__(
        self,
        processes: ProcessBook | None = None,
        *,
        root: Path = SYS,
        proc: Path = PROC,
        clock: Clock = steady,
    ) -> None:
        self._processes = processes or ProcessBook()
        self._root, self._proc, self._clock = root, proc, clock
        self._names: dict[str, str | None] = {}
        self._holders: dict[str, dict[int, int]] = {}
        self._looked_at: float | None = None

    def read(self) -> GpuReading:
        """One sample of every card."""
        mine = [card for card in cards(self._root) if card.vendor == AMD and card.driver == "amdgpu"]
        if not mine:
            raise GpuAbsentError("no AMD GPU with the driver amdgpu")
        rows = tuple(self._row(card) for card in mine)
        silent = [
            card.slot
            for card, row in zip(mine, rows, strict=True)
            if _is_silent(row) and not card.is_suspended
        ]
        if len(silent) == len(mine):
            raise GpuUnavailableError(f"amdgpu tells nothing of any GPU: {', '.join(silent)}")
        return GpuReading(rows, "; ".join(f"{slot}: the driver tells nothing" for slot in silent) or None)

    def close(self) -> None:
        """Forget the names and processes of cards that may be others by the next read."""
        self._names.clear()
        self._looked_at = None

    def _row(self, card: Card) -> GpuPayload:
        device = card.device
        if card.is_suspended:
            # To ask it anything would wake it.
            return {**unknown_gpu(self.vendor), "name": self._name(card)}
        monitor = next(iter(sorted((device / "hwmon").glob("hwmon*"))), device / "hwmon")
        load = number(device / "gpu_busy_percent")
        return {
            **unknown_gpu(self.vendor),
            "uuid": word(device / "unique_id"),
            "name": self._name(card),
            "utilization_percent": float(load) if load is not None and load <= 100 else None,
            "memory_total_bytes": number(device / "mem_info_vram_total"),
            "memory_used_bytes": number(device / "mem_info_vram_used"),
            "temperature_c": scaled(monitor / "temp1_input", 1e3),
            "power_w": first_scaled(monitor, ("power1_average", "power1_input"), 1e6),
            "power_limit_w": scaled(monitor / "power1_cap", 1e6),
            "clock_mhz": _clock(monitor / "freq1_input", device / "pp_dpm_sclk"),
            "memory_clock_mhz": _clock(monitor / "freq2_input", device / "pp_dpm_mclk"),
            "ecc_errors": _memory_errors(device / "ras"),
            "processes": [
                gpu_process(self._processes, pid, held)
                for pid, held in sorted(self._held().get(card.slot, {}).items())
            ],
        }

    def _name(self, card: Card) -> str | None:
        if card.slot not in self._names:
            self._names[card.slot] = (
                word(card.device / "product_name") or model_name(card) or f"AMD {card.model.upper()}"
            )
        return self._names[card.slot]

    def _held(self) -> dict[str, dict[int, int]]:
        """Who holds memory: the driver's clients, and ROCm's processes, which are not among them."""
        if self._looked_at is None or self._clock() - self._looked_at >= PROCESSES_S:
            slots = {card.slot for card in cards(self._root) if card.vendor == AMD}
            self._holders = holders(slots, self._proc)
            for slot, of in _compute_holders(self._root).items():
                for pid, held in of.items():
                    mine = self._holders.setdefault(slot, {})
                    mine[pid] = max(mine.get(pid, 0), held)
            self._looked_at = self._clock()
        return self._holders


def _is_silent(row: GpuPayload) -> bool:
    figures = (row["utilization_percent"], row["memory_total_bytes"], row["temperature_c"], row["power_w"])
    return all(figure is None for figure in figures)


def _clock(hertz: Path, table: Path) -> float | None:
    """A clock in MHz: the sensor's, else the step that the driver's table marks."""
    now = scaled(hertz, 1e6, 0)
    if now is not None:
        return now
    marked = _CURRENT.search(word(table) or "")
    return float(marked[1]) if marked is not None else None


def _memory_errors(folder: Path) -> EccPayload | None:
    """Errors of all blocks that the card watches; None for one that watches none."""
    told = [dict(_RAS.findall(word(path) or "")) for path in sorted(folder.glob("*_err_count"))]
    blocks = [block for block in told if block]
    if not blocks:
        return None
    return {
        "corrected": sum(int(block.get("ce", 0)) for block in blocks),
        "uncorrected": sum(int(block.get("ue", 0)) for block in blocks),
    }


def _compute_holders(root: Path) -> dict[str, dict[int, int]]:
    """ROCm's processes: slot → pid → bytes."""
    kfd = root / "class/kfd/kfd"
    found: dict[str, dict[int, int]] = {}
    for node in (kfd / "topology/nodes").glob("*"):
        gpu, slot = word(node / "gpu_id"), _slot(word(node / "properties") or "")
        if not gpu or gpu == "0" or slot is None:
            continue
        for file in (kfd / "proc").glob(f"*/vram_{gpu}"):
            held = number(file)
            if file.parent.name.isdecimal() and held:
                found.setdefault(slot, {})[int(file.parent.name)] = held
    return found


def _slot(properties: str) -> str | None:
    """Where a node of ROCm's is on the bus, from its properties: domain, and bus, device and function in one."""
    told = dict(re.findall(r"^(\w+) (\d{1,10})$", properties, re.M))
    if "location_id" not in told:
        return None
    place, domain = int(told["location_id"]), int(told.get("domain", 0))
    return f"{domain:04x}:{place >> 8 & 0xFF:02x}:{place >> 3 & 0x1F:02x}.{place & 7:x}"
