"""NVIDIA's GPUs through NVML. The binding is imported only where the driver's library is."""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass

from agent.clock import Clock, steady
from agent.gpus import GpuAbsentError, GpuReading, GpuUnavailableError
from agent.gpus.nvidia_device import LIBRARY_NOT_FOUND, Device, Nvml, text
from agent.gpus.nvidia_health import XidEvents, ecc_errors, health, rows_health, throttle_reasons
from agent.gpus.rows import gpu_process, unknown_gpu
from agent.payloads import EccPayload, GpuPayload, GpuProcessPayload, MigPayload
from agent.processes import ProcessBook

ABSENT = "no NVIDIA driver: its library NVML was not found on this machine"
# What changes rarely or costs more to ask than a figure.
SLOW_S = 10.0
_CORE, _SM, _MEMORY = 0, 1, 2


def load_nvml() -> Nvml:
    """The binding, where the driver's library is present; GpuAbsentError where it is not."""
    # The binding costs memory that a machine without an NVIDIA card should not pay.
    if sys.platform != "win32":
        try:
            ctypes.CDLL("libnvidia-ml.so.1")
        except OSError:
            raise GpuAbsentError(ABSENT) from None
    try:
        return importlib.import_module("pynvml")
    except ImportError:
        raise GpuUnavailableError("the package nvidia-ml-py is not installed beside the agent") from None


@dataclass(frozen=True)
class _Slow:
    """What is asked of a GPU every SLOW_S only."""

    at: float
    uuid: str | None
    name: str | None
    limit_w: float | None
    ecc: EccPayload | None
    rows: str | None


class NvidiaGpus:
    """Reads every NVIDIA GPU; each figure that one does not tell is None, each GPU that fails is named."""

    vendor = "nvidia"

    def __init__(
        self,
        load: Callable[[], Nvml] = load_nvml,
        processes: ProcessBook | None = None,
        clock: Clock = steady,
    ) -> None:
        self._load = load
        self._processes = processes or ProcessBook()
        self._clock = clock
        self._nvml: Nvml = None
        self._events: XidEvents | None = None
        self._slow: dict[int, _Slow] = {}

    def read(self) -> GpuReading:
        """One sample of every GPU. Opens NVML where it is closed."""
        nvml = self._open()
        try:
            devices = [Device(nvml, index) for index in range(int(nvml.nvmlDeviceGetCount()))]
            xids = self._events.read(devices) if self._events else {}
            rows = tuple(self._row(device, xids.get(device.index)) for device in devices)
        except nvml.NVMLError as error:
            raise GpuUnavailableError(f"NVML does not answer: {error}") from None
        faults = "; ".join(device.fault for device in devices if device.fault) or None
        if devices and all(device.is_silent for device in devices):
            # As in a container that lost its devices: only opening the library anew can help.
            raise GpuUnavailableError(f"NVML tells nothing of any GPU: {faults}")
        return GpuReading(rows, faults)

    def close(self) -> None:
        """Shut NVML down; the next read opens it again."""
        nvml, self._nvml = self._nvml, None
        events, self._events = self._events, None
        self._slow.clear()
        if events is not None:
            events.close()
        if nvml is not None:
            with contextlib.suppress(nvml.NVMLError):
                nvml.nvmlShutdown()

    def _open(self) -> Nvml:
        if self._nvml is None:
            nvml = self._load()
            try:
                nvml.nvmlInit()
            except nvml.NVMLError as error:
                if error.value == LIBRARY_NOT_FOUND:
                    raise GpuAbsentError(ABSENT) from None
                raise GpuUnavailableError(f"NVML does not start: {error}") from None
            self._nvml, self._events = nvml, XidEvents(nvml)
        return self._nvml

    def _row(self, device: Device, xid: int | None) -> GpuPayload:
        memory = device.memory(device.handle)
        load = device.ask("nvmlDeviceGetUtilizationRates")
        heat = device.first("nvmlDeviceGetTemperatureV", "nvmlDeviceGetTemperature", _CORE)
        power = device.ask("nvmlDeviceGetPowerUsage")
        device.is_silent = bool(device.fault) and all(
            figure is None for figure in (memory, load, heat, power)
        )
        slow = self._slow_parts(device)
        parts = list(device.parts())
        return {
            **unknown_gpu(self.vendor, device.index),
            "uuid": slow.uuid,
            "name": slow.name,
            "utilization_percent": float(load.gpu) if load is not None else None,
            "memory_total_bytes": int(memory.total) if memory is not None else None,
            "memory_used_bytes": int(memory.used) if memory is not None else None,
            "temperature_c": _float(heat),
            "power_w": power / 1000 if power is not None else None,
            "power_limit_w": slow.limit_w,
            "clock_mhz": _float(device.ask("nvmlDeviceGetClockInfo", _SM)),
            "memory_clock_mhz": _float(device.ask("nvmlDeviceGetClockInfo", _MEMORY)),
            "throttle_reasons": throttle_reasons(device),
            "ecc_errors": slow.ecc,
            "xid": xid,
            "health": health(device, slow.rows),
            "mig_devices": [_part(device, part) for part in parts],
            "processes": self._process_rows(device, parts),
        }

    def _slow_parts(self, device: Device) -> _Slow:
        known = self._slow.get(device.index)
        if known is not None and self._clock() - known.at < SLOW_S:
            return known
        limit = device.first("nvmlDeviceGetEnforcedPowerLimit", "nvmlDeviceGetPowerManagementLimit")
        slow = _Slow(
            at=self._clock(),
            uuid=text(device.ask("nvmlDeviceGetUUID")),
            name=text(device.ask("nvmlDeviceGetName")),
            limit_w=limit / 1000 if limit is not None else None,
            ecc=ecc_errors(device),
            rows=rows_health(device),
        )
        if not device.fault:
            self._slow[device.index] = slow
        return slow

    def _process_rows(self, device: Device, parts: list[object]) -> list[GpuProcessPayload]:
        found: dict[int, int | None] = {}
        for handle in (device.handle, *parts):
            for kind in ("Compute", "Graphics"):
                for process in device.ask_of(handle, f"nvmlDeviceGet{kind}RunningProcesses") or ():
                    known = found.get(process.pid)
                    found[process.pid] = process.usedGpuMemory if known is None else known
        return [gpu_process(self._processes, pid, memory) for pid, memory in sorted(found.items())]


def _part(device: Device, handle: object) -> MigPayload:
    memory = device.memory(handle)
    return {
        "uuid": text(device.ask_of(handle, "nvmlDeviceGetUUID")),
        "name": text(device.ask_of(handle, "nvmlDeviceGetName")),
        "memory_total_bytes": int(memory.total) if memory is not None else None,
        "memory_used_bytes": int(memory.used) if memory is not None else None,
    }


def _float(value: int | None) -> float | None:
    return None if value is None else float(value)
