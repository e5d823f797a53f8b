"""Intel's GPUs through the files of the drivers xe and i915.

Neither tells how busy a GPU is without root; how long it slept is told, so utilisation is the share of time that it
was awake. A processor's own graphics count only where the machine has no other GPU: beside a card they would stand
in every list as one that never works.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from agent.clock import Clock, steady
from agent.gpus import GpuAbsentError, GpuReading
from agent.gpus.drm import AMD, INTEL, NVIDIA, PROC, Card, cards, holders, model_name
from agent.gpus.rows import gpu_process, unknown_gpu
from agent.gpus.sysfs import SYS, first_scaled, number, scaled
from agent.payloads import GpuPayload
from agent.processes import ProcessBook
from agent.rates import MAX_GAP_S

PROCESSES_S = 10.0
_INSIDE = re.compile(r"0000:00:")
_REASON = re.compile(r"(?:throttle_)?reason_(?!status)(\w+)")
_DRIVERS = {"i915", "xe"}


@dataclass
class _Before:
    """The counters of the last sample: milliseconds asleep of each engine group, microjoules used."""

    at: float
    asleep_ms: dict[str, int] = field(default_factory=dict)
    energy_uj: int | None = None


class IntelGpus:
    """Reads every card of i915 and xe. For one thread."""

    vendor = "intel"

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
        self._before: dict[str, _Before] = {}
        self._holders: dict[str, dict[int, int]] = {}
        self._looked_at: float | None = None

    def read(self) -> GpuReading:
        """One sample of every card; what is a rate is since the sample before."""
        mine = _counted(cards(self._root))
        if not mine:
            raise GpuAbsentError("no Intel GPU with the driver xe or i915")
        if self._looked_at is None or self._clock() - self._looked_at >= PROCESSES_S:
            self._holders = holders({card.slot for card in mine}, self._proc)
            self._looked_at = self._clock()
        return GpuReading(tuple(self._row(card) for card in mine))

    def close(self) -> None:
        """Forget the counters and names of cards that may be others by the next read."""
        self._names.clear()
        self._before.clear()
        self._looked_at = None

    def _row(self, card: Card) -> GpuPayload:
        monitor = next(iter(sorted((card.device / "hwmon").glob("hwmon*"))), card.device / "hwmon")
        if card.is_suspended:
            # To ask it anything would wake it.
            return {**unknown_gpu(self.vendor), "name": self._name(card)}
        groups = _groups(card)
        awake, power = self._rates(card, groups, monitor)
        total = _first_number(card, ("lmem_total_bytes", "device/tile0/physical_vram_size_bytes"))
        held = self._holders.get(card.slot, {})
        return {
            **unknown_gpu(self.vendor),
            "name": self._name(card),
            "utilization_percent": awake,
            "memory_total_bytes": total,
            "temperature_c": first_scaled(monitor, ("temp2_input", "temp1_input"), 1e3),
            "power_w": power,
            "power_limit_w": first_scaled(monitor, ("power1_max", "power1_cap"), 1e6),
            "clock_mhz": next((clock for group in groups if (clock := _clock(group)) is not None), None),
            "throttle_reasons": _reasons(groups),
            "processes": [gpu_process(self._processes, pid, size) for pid, size in sorted(held.items())],
        }

    def _name(self, card: Card) -> str | None:
        if card.slot not in self._names:
            self._names[card.slot] = model_name(card) or f"Intel {card.model.upper()}"
        return self._names[card.slot]

    def _rates(self, card: Card, groups: list[Path], monitor: Path) -> tuple[float | None, float | None]:
        now = _Before(self._clock(), _asleep(card, groups), number(monitor / "energy1_input"))
        before = self._before.get(card.slot)
        self._before[card.slot] = now
        gap_s = now.at - before.at if before is not None else 0.0
        if before is None or not 0 < gap_s <= MAX_GAP_S:
            return None, None
        asleep = [
            (after - then) / (gap_s * 1000)
            for group, after in now.asleep_ms.items()
            if (then := before.asleep_ms.get(group)) is not None and after >= then
        ]
        awake = round(max(0.0, min(100.0, 100 * (1 - min(asleep)))), 1) if asleep else None
        if now.energy_uj is None or before.energy_uj is None or now.energy_uj < before.energy_uj:
            return awake, None
        return awake, round((now.energy_uj - before.energy_uj) / 1e6 / gap_s, 1)


def _counted(all_cards: list[Card]) -> list[Card]:
    mine = [card for card in all_cards if card.vendor == INTEL and card.driver in _DRIVERS]
    on_cards = [card for card in mine if not _INSIDE.match(card.slot)]
    has_others = any(card.vendor in {NVIDIA, AMD} for card in all_cards)
    return on_cards if on_cards or has_others else mine


def _groups(card: Card) -> list[Path]:
    """The folders of the GPU's engine groups: gt0, gt1, … of every tile."""
    found = [*card.folder.glob("gt/gt[0-9]*"), *card.device.glob("tile[0-9]*/gt[0-9]*")]
    return sorted(found)[:16]


def _asleep(card: Card, groups: list[Path]) -> dict[str, int]:
    files = [
        (str(group), group / name)
        for group in groups
        for name in ("rc6_residency_ms", "gtidle/idle_residency_ms")
    ]
    # Older kernels count for the whole card.
    files = files or [(str(card.folder), card.folder / "power/rc6_residency_ms")]
    return {group: ms for group, file in files if (ms := number(file)) is not None}


def _clock(group: Path) -> float | None:
    return next(
        (mhz for name in ("freq0/act_freq", "rps_act_freq_mhz") if (mhz := scaled(group / name, 1, 0))), None
    )


def _reasons(groups: list[Path]) -> list[str] | None:
    """Why the GPU is held back, in the driver's words; None where it tells none of them."""
    files = [
        (match[1], path)
        for group in groups
        for path in sorted([*group.glob("throttle_reason_*"), *group.glob("freq0/throttle/reason_*")])
        if (match := _REASON.fullmatch(path.name)) is not None
    ]
    told = [(reason, number(path)) for reason, path in files]
    if not any(value is not None for _, value in told):
        return None
    return list(dict.fromkeys(reason for reason, value in told if value))


def _first_number(card: Card, names: tuple[str, ...]) -> int | None:
    return next((value for name in names if (value := number(card.folder / name)) is not None), None)
