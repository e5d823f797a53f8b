"""What holds an NVIDIA GPU back and what is wrong with it: throttling, memory errors, rows, XIDs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

from agent.gpus.nvidia_device import GPU_IS_LOST, GPU_NOT_FOUND, RESET_REQUIRED, Device, Nvml
from agent.payloads import EccPayload

# The bits of NVML's reasons that mean held back. Idle and clocks that somebody set are none.
THROTTLE_REASONS = {
    0x04: "power_cap",
    0x08: "hw_slowdown",
    0x20: "sw_thermal",
    0x40: "hw_thermal",
    0x80: "hw_power_brake",
}
_CORRECTED, _UNCORRECTED, _SINCE_DRIVER_LOAD = 0, 1, 0
_XID_EVENT = 0x08
_MOST_EVENTS = 64


def throttle_reasons(device: Device) -> list[str] | None:
    """Why the GPU runs slower than it could: names of THROTTLE_REASONS, None when it is not told."""
    bits = device.first("nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons")
    return None if bits is None else [name for bit, name in THROTTLE_REASONS.items() if int(bits) & bit]


def ecc_errors(device: Device) -> EccPayload | None:
    """Memory errors since the driver was loaded; None for a card without error correction."""
    asked = "nvmlDeviceGetTotalEccErrors"
    corrected = device.ask(asked, _CORRECTED, _SINCE_DRIVER_LOAD)
    uncorrected = device.ask(asked, _UNCORRECTED, _SINCE_DRIVER_LOAD)
    if corrected is None and uncorrected is None:
        return None
    return {"corrected": corrected, "uncorrected": uncorrected}


def rows_health(device: Device) -> str | None:
    """What the card says of its spare memory rows: "OK", or that it wants a reset or a repair."""
    rows = device.ask("nvmlDeviceGetRemappedRows")
    if rows is None:
        return None
    _, _, is_pending, has_failed = rows
    if has_failed:
        return "row remapping failed"
    return "reset required" if is_pending else "OK"


def health(device: Device, of_rows: str | None) -> str | None:
    """The card's health in a few words, None when nothing is told."""
    if device.errors & {GPU_IS_LOST, GPU_NOT_FOUND}:
        return "lost"
    return "reset required" if RESET_REQUIRED in device.errors else of_rows


class XidEvents:
    """The last XID of each GPU since this began to listen. For one thread; never waits.

    The driver keeps the events until they are fetched, so nothing is lost between two reads.
    """

    def __init__(self, nvml: Nvml) -> None:
        self._nvml = nvml
        self._last: dict[int, int] = {}
        self._listening: set[int] = set()
        self._events = None
        with contextlib.suppress(nvml.NVMLError, AttributeError):
            self._events = nvml.nvmlEventSetCreate()

    def read(self, devices: Iterable[Device]) -> dict[int, int]:
        """Fetch what came: GPU index → XID. GPUs that cannot tell are never in it."""
        if self._events is None:
            return {}
        for device in devices:
            self._listen(device)
        for _ in range(_MOST_EVENTS):
            if not self._fetch():
                break
        return self._last

    def close(self) -> None:
        """Stop listening."""
        events, self._events = self._events, None
        if events is not None:
            with contextlib.suppress(self._nvml.NVMLError):
                self._nvml.nvmlEventSetFree(events)

    def _listen(self, device: Device) -> None:
        if device.index in self._listening or device.handle is None:
            return
        self._listening.add(device.index)
        # Windows and some older cards have no events.
        with contextlib.suppress(self._nvml.NVMLError):
            self._nvml.nvmlDeviceRegisterEvents(device.handle, _XID_EVENT, self._events)

    def _fetch(self) -> bool:
        """Take one event, False when there is none: a wait of 0 ms ends in NVML's timeout."""
        try:
            event = self._nvml.nvmlEventSetWait_v2(self._events, 0)
            if event.eventType == _XID_EVENT:
                self._last[int(self._nvml.nvmlDeviceGetIndex(event.device))] = int(event.eventData)
        except self._nvml.NVMLError:
            # A lost card may not even tell its index; that it is lost is said by its health.
            return False
        return True
