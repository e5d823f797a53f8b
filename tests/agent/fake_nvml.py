"""A driver library of our own making: the binding's functions over cards that can be broken one figure at a time."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, TypeVar

import pynvml

T = TypeVar("T")

NOT_SUPPORTED, UNINITIALIZED, FUNCTION_NOT_FOUND, NO_PERMISSION, NOT_FOUND, TIMEOUT = 3, 1, 13, 4, 6, 10
DRIVER_NOT_LOADED, LIBRARY_NOT_FOUND, GPU_IS_LOST, VERSION_MISMATCH, UNKNOWN = 9, 12, 15, 18, 999


@dataclass
class Card:
    """One card; `faults` maps a function's name to the error it gives."""

    uuid: str = "GPU-aa"
    name: str | bytes = "RTX 4090"
    used: int = 3 << 30
    total: int = 24 << 30
    load: int = 37
    heat: int = 61
    milliwatts: int = 212_500
    limit: int = 450_000
    compute: tuple[tuple[int, int | None], ...] = ()
    graphics: tuple[tuple[int, int | None], ...] = ()
    clocks: dict[int, int] = field(default_factory=lambda: {1: 2520, 2: 10_501})
    reasons: int = 0
    ecc: tuple[int, int] | None = None
    rows: tuple[int, int, bool, bool] | None = None
    parts: dict[int, Card] = field(default_factory=dict)
    faults: dict[str, int] = field(default_factory=dict)


class FakeNvml:
    """Stands in for the module `pynvml`, errors included; `opened` counts how often it was initialised."""

    NVMLError = pynvml.NVMLError
    NVML_TEMPERATURE_GPU = pynvml.NVML_TEMPERATURE_GPU
    nvmlMemory_v2 = pynvml.nvmlMemory_v2

    def __init__(self, *cards: Card) -> None:
        self.cards = list(cards)
        self.start_error: int | None = None
        self.count_error: int | None = None
        self.opened = 0
        self.closed = 0
        self.heard: list[Card] = []
        self.events: list[tuple[Card, int]] = []

    def nvmlInit(self) -> None:
        if self.start_error is not None:
            raise pynvml.NVMLError(self.start_error)
        self.opened += 1

    def nvmlShutdown(self) -> None:
        self.closed += 1

    def nvmlDeviceGetCount(self) -> int:
        if self.count_error is not None:
            raise pynvml.NVMLError(self.count_error)
        return len(self.cards)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> Card:
        return self._told(self.cards[index], "nvmlDeviceGetHandleByIndex", self.cards[index])

    def nvmlDeviceGetUUID(self, card: Card) -> str:
        return self._told(card, "nvmlDeviceGetUUID", card.uuid)

    def nvmlDeviceGetName(self, card: Card) -> str | bytes:
        return self._told(card, "nvmlDeviceGetName", card.name)

    def nvmlDeviceGetMemoryInfo(self, card: Card, version: int | None = None) -> Any:
        # The first version counts what the driver keeps for itself as used.
        used = card.used if version is not None else card.used + (1 << 30)
        name = f"nvmlDeviceGetMemoryInfo{'_v2' if version is not None else ''}"
        return self._told(card, name, SimpleNamespace(total=card.total, used=used))

    def nvmlDeviceGetUtilizationRates(self, card: Card) -> Any:
        return self._told(card, "nvmlDeviceGetUtilizationRates", SimpleNamespace(gpu=card.load, memory=5))

    def nvmlDeviceGetTemperatureV(self, card: Card, sensor: int) -> int:
        return self._told(card, "nvmlDeviceGetTemperatureV", card.heat)

    def nvmlDeviceGetTemperature(self, card: Card, sensor: int) -> int:
        return self._told(card, "nvmlDeviceGetTemperature", card.heat)

    def nvmlDeviceGetPowerUsage(self, card: Card) -> int:
        return self._told(card, "nvmlDeviceGetPowerUsage", card.milliwatts)

    def nvmlDeviceGetEnforcedPowerLimit(self, card: Card) -> int:
        return self._told(card, "nvmlDeviceGetEnforcedPowerLimit", card.limit)

    def nvmlDeviceGetPowerManagementLimit(self, card: Card) -> int:
        return self._told(card, "nvmlDeviceGetPowerManagementLimit", card.limit)

    def nvmlDeviceGetClockInfo(self, card: Card, kind: int) -> int:
        return self._told(card, "nvmlDeviceGetClockInfo", card.clocks[kind])

    def nvmlDeviceGetCurrentClocksEventReasons(self, card: Card) -> int:
        return self._told(card, "nvmlDeviceGetCurrentClocksEventReasons", card.reasons)

    def nvmlDeviceGetCurrentClocksThrottleReasons(self, card: Card) -> int:
        return self._told(card, "nvmlDeviceGetCurrentClocksThrottleReasons", card.reasons)

    def nvmlDeviceGetTotalEccErrors(self, card: Card, kind: int, since: int) -> int:
        if card.ecc is None:
            raise pynvml.NVMLError(NOT_SUPPORTED)
        return self._told(card, "nvmlDeviceGetTotalEccErrors", card.ecc[kind])

    def nvmlDeviceGetRemappedRows(self, card: Card) -> tuple[int, int, bool, bool]:
        if card.rows is None:
            raise pynvml.NVMLError(NOT_SUPPORTED)
        return self._told(card, "nvmlDeviceGetRemappedRows", card.rows)

    def nvmlDeviceGetMigMode(self, card: Card) -> list[int]:
        if not card.parts:
            raise pynvml.NVMLError(NOT_SUPPORTED)
        return self._told(card, "nvmlDeviceGetMigMode", [1, 1])

    def nvmlDeviceGetMaxMigDeviceCount(self, card: Card) -> int:
        return 7

    def nvmlDeviceGetMigDeviceHandleByIndex(self, card: Card, index: int) -> Card:
        if index not in card.parts:
            raise pynvml.NVMLError(NOT_FOUND)
        return card.parts[index]

    def nvmlDeviceGetIndex(self, card: Card) -> int:
        return self._told(card, "nvmlDeviceGetIndex", self.cards.index(card))

    def nvmlEventSetCreate(self) -> object:
        return self.events

    def nvmlDeviceRegisterEvents(self, card: Card, kinds: int, events: object) -> None:
        self._told(card, "nvmlDeviceRegisterEvents", None)
        self.heard.append(card)

    def nvmlEventSetWait_v2(self, events: object, timeout_ms: int) -> Any:
        assert timeout_ms == 0
        if not self.events:
            raise pynvml.NVMLError(TIMEOUT)
        card, xid = self.events.pop(0)
        return SimpleNamespace(device=card, eventType=pynvml.nvmlEventTypeXidCriticalError, eventData=xid)

    def nvmlEventSetFree(self, events: object) -> None:
        self.heard.clear()

    def nvmlDeviceGetComputeRunningProcesses(self, card: Card) -> list[Any]:
        return self._told(card, "nvmlDeviceGetComputeRunningProcesses", _processes(card.compute))

    def nvmlDeviceGetGraphicsRunningProcesses(self, card: Card) -> list[Any]:
        return self._told(card, "nvmlDeviceGetGraphicsRunningProcesses", _processes(card.graphics))

    def _told(self, card: Card, function: str, value: T) -> T:
        error = card.faults.get(function, card.faults.get("*"))
        if error is not None:
            raise pynvml.NVMLError(error)
        return value


def _processes(rows: tuple[tuple[int, int | None], ...]) -> list[Any]:
    return [SimpleNamespace(pid=pid, usedGpuMemory=memory) for pid, memory in rows]
