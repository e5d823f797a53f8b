"""NVIDIA's GPUs through NVML. The binding is imported only where the driver's library is."""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import sys
from collections.abc import Callable
from typing import Any

from agent.gpus import GpuAbsentError, GpuReading, GpuUnavailableError
from agent.payloads import GpuPayload, GpuProcessPayload
from agent.processes import ProcessBook

# NVML's numbers for errors, fixed by its header: the library itself is out of order, whatever was asked.
_UNINITIALIZED, _DRIVER_NOT_LOADED, _LIBRARY_NOT_FOUND, _VERSION_MISMATCH = 1, 9, 12, 18
_LIBRARY_BROKEN = {_UNINITIALIZED, _DRIVER_NOT_LOADED, _LIBRARY_NOT_FOUND, _VERSION_MISMATCH}
# Not a fault: this GPU or this driver has no such figure (not supported, no permission, not found,
# no such function, argument version, deprecated).
_UNTOLD = {3, 4, 6, 13, 25, 26}

ABSENT = "no NVIDIA driver: its library NVML was not found on this machine"

Nvml = Any  # the binding is untyped; only the calls below are used


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


class NvidiaGpus:
    """Reads every NVIDIA GPU; each figure that one does not tell is None, each GPU that fails is named."""

    vendor = "nvidia"

    def __init__(self, load: Callable[[], Nvml] = load_nvml, processes: ProcessBook | None = None) -> None:
        self._load = load
        self._processes = processes or ProcessBook()
        self._nvml: Nvml = None

    def read(self) -> GpuReading:
        """One sample of every GPU. Opens NVML where it is closed."""
        nvml = self._open()
        try:
            devices = [_Device(nvml, index) for index in range(int(nvml.nvmlDeviceGetCount()))]
            rows = tuple(self._row(device) for device in devices)
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
        if nvml is not None:
            with contextlib.suppress(nvml.NVMLError):
                nvml.nvmlShutdown()

    def _open(self) -> Nvml:
        if self._nvml is None:
            nvml = self._load()
            try:
                nvml.nvmlInit()
            except nvml.NVMLError as error:
                if error.value == _LIBRARY_NOT_FOUND:
                    raise GpuAbsentError(ABSENT) from None
                raise GpuUnavailableError(f"NVML does not start: {error}") from None
            self._nvml = nvml
        return self._nvml

    def _row(self, device: _Device) -> GpuPayload:
        nvml = self._nvml
        memory = device.ask("nvmlDeviceGetMemoryInfo", nvml.nvmlMemory_v2) or device.ask(
            "nvmlDeviceGetMemoryInfo"
        )
        load = device.ask("nvmlDeviceGetUtilizationRates")
        heat = device.first(
            "nvmlDeviceGetTemperatureV", "nvmlDeviceGetTemperature", nvml.NVML_TEMPERATURE_GPU
        )
        power = device.ask("nvmlDeviceGetPowerUsage")
        limit = device.first("nvmlDeviceGetEnforcedPowerLimit", "nvmlDeviceGetPowerManagementLimit")
        device.is_silent = bool(device.fault) and all(
            figure is None for figure in (memory, load, heat, power)
        )
        return {
            "index": device.index,
            "uuid": _text(device.ask("nvmlDeviceGetUUID")),
            "name": _text(device.ask("nvmlDeviceGetName")),
            "vendor": self.vendor,
            "utilization_percent": float(load.gpu) if load is not None else None,
            "memory_total_bytes": int(memory.total) if memory is not None else None,
            "memory_used_bytes": int(memory.used) if memory is not None else None,
            "temperature_c": float(heat) if heat is not None else None,
            "power_w": power / 1000 if power is not None else None,
            "power_limit_w": limit / 1000 if limit is not None else None,
            "processes": self._process_rows(device),
        }

    def _process_rows(self, device: _Device) -> list[GpuProcessPayload]:
        found: dict[int, int | None] = {}
        for question in ("nvmlDeviceGetComputeRunningProcesses", "nvmlDeviceGetGraphicsRunningProcesses"):
            for process in device.ask(question) or ():
                known = found.get(process.pid)
                found[process.pid] = process.usedGpuMemory if known is None else known
        return [self._process_row(pid, memory) for pid, memory in sorted(found.items())]

    def _process_row(self, pid: int, memory: int | None) -> GpuProcessPayload:
        facts = self._processes.describe(pid)
        return {
            "pid": pid,
            "name": facts.name,
            "user": facts.user,
            "container": facts.container,
            "started_at": facts.started_at,
            "memory_bytes": memory,
            "command": facts.command,
        }


class _Device:
    """One GPU being asked: what it does not know is None, what fails is noted in words."""

    def __init__(self, nvml: Nvml, index: int) -> None:
        self.index = index
        self.is_silent = False
        self._nvml = nvml
        self._faults: list[str] = []
        self._handle = self._call(nvml.nvmlDeviceGetHandleByIndex, index)

    @property
    def fault(self) -> str:
        """What went wrong with this GPU, empty when nothing did."""
        return f"GPU {self.index}: {', '.join(dict.fromkeys(self._faults))}" if self._faults else ""

    def ask(self, question: str, *arguments: Any) -> Any:
        """NVML's answer about this GPU, None where there is none."""
        function = getattr(self._nvml, question, None)
        if self._handle is None or function is None:
            return None
        return self._call(function, self._handle, *arguments)

    def first(self, question: str, older: str, *arguments: Any) -> Any:
        """The answer to a question, or to the one that older drivers understand."""
        answer = self.ask(question, *arguments)
        return self.ask(older, *arguments) if answer is None else answer

    def _call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return function(*arguments)
        except self._nvml.NVMLError as error:
            if error.value in _LIBRARY_BROKEN:
                raise
            if error.value not in _UNTOLD:
                self._faults.append(str(error))
            return None


def _text(value: str | bytes | None) -> str | None:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
