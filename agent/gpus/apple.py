"""Apple's GPU: `ioreg` for everybody, `powermetrics` where the agent is root, Metal's presence as the last resort."""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass

import psutil

from agent.gpus import GpuAbsentError, GpuReading, GpuUnavailableError
from agent.gpus.commands import Run, run
from agent.gpus.rows import unknown_gpu
from agent.payloads import GpuPayload

EVERY_S = 4.0
_IOREG = ("ioreg", "-r", "-d", "1", "-w", "0", "-c", "IOAccelerator")
_POWERMETRICS = ("powermetrics", "--samplers", "gpu_power,thermal", "-i", "500", "-n", "1")
_ENTRY = re.compile(r"^\s*\+-o ", re.M)
_TEXT = re.compile(r'"model" = (?:"([^"]{1,100})"|<"([^"]{1,100})">)')
_CORES = re.compile(r'"gpu-core-count" = (\d{1,4})\b')
_LOAD = re.compile(r'"Device Utilization %"\s*=\s*(\d{1,3})\b')
_MEMORY = re.compile(r'"In use system memory"\s*=\s*(\d{1,18})\b')
_POWER = re.compile(r"^GPU Power:\s*(\d{1,9}(?:\.\d{1,6})?)\s*mW", re.M)
_CLOCK = re.compile(r"^GPU HW active frequency:\s*(\d{1,6})\s*MHz", re.M)
_PRESSURE = re.compile(r"^Current pressure level:\s*(\w{1,40})", re.M)


@dataclass(frozen=True)
class Power:
    """What powermetrics tells."""

    power_w: float | None = None
    clock_mhz: float | None = None
    throttle_reasons: list[str] | None = None


def parse_ioreg(text: str, memory_total_bytes: int) -> list[GpuPayload]:
    """The GPUs in ioreg's output. Their memory is the machine's own, all of which they may use."""
    rows = []
    for entry in _ENTRY.split(text)[1:9]:
        load, memory = _LOAD.search(entry), _MEMORY.search(entry)
        model, cores = _TEXT.search(entry), _CORES.search(entry)
        if load is None and memory is None and model is None:
            continue
        name = (model[1] or model[2]) if model is not None else "Apple GPU"
        row: GpuPayload = {
            **unknown_gpu("apple"),
            "name": f"{name} ({cores[1]} GPU cores)" if cores is not None else name,
            "utilization_percent": float(load[1]) if load is not None and int(load[1]) <= 100 else None,
            "memory_total_bytes": memory_total_bytes,
            "memory_used_bytes": int(memory[1]) if memory is not None else None,
        }
        rows.append(row)
    return rows


def parse_powermetrics(text: str) -> Power:
    """Power, clock and thermal pressure in powermetrics' output."""
    power, clock, pressure = _POWER.search(text), _CLOCK.search(text), _PRESSURE.search(text)
    reasons = None
    if pressure is not None:
        reasons = [] if pressure[1] == "Nominal" else [f"thermal pressure {pressure[1].lower()}"]
    return Power(
        power_w=round(float(power[1]) / 1000, 3) if power is not None else None,
        clock_mhz=float(clock[1]) if clock is not None else None,
        throttle_reasons=reasons,
    )


def has_metal_torch() -> bool:
    """Whether PyTorch is installed beside the agent on a Mac with Apple's processor, so that it has MPS; nothing
    is imported."""
    return platform.machine() == "arm64" and importlib.util.find_spec("torch") is not None


class AppleGpus:
    """Reads the GPU of a Mac; on another system there is none."""

    vendor = "apple"

    def __init__(
        self,
        run: Run = run,
        *,
        system: str = sys.platform,
        is_root: bool = hasattr(os, "geteuid") and os.geteuid() == 0,
        has_torch: Callable[[], bool] = has_metal_torch,
    ) -> None:
        self._run, self._system, self._is_root, self._has_torch = run, system, is_root, has_torch

    def read(self) -> GpuReading:
        """One sample."""
        if self._system != "darwin":
            raise GpuAbsentError("this is no Mac")
        try:
            rows = parse_ioreg(self._run(_IOREG), psutil.virtual_memory().total)
        except GpuUnavailableError as error:
            if not self._has_torch():
                raise
            row = unknown_gpu(self.vendor)
            row["name"] = "Apple GPU (MPS)"
            return GpuReading((row,), f"only the GPU's presence is known: {error}")
        if rows and self._is_root:
            self._add_power(rows[0])
        return GpuReading(tuple(rows))

    def close(self) -> None:
        """There is nothing to let go of."""

    def _add_power(self, row: GpuPayload) -> None:
        try:
            power = parse_powermetrics(self._run(_POWERMETRICS))
        except GpuUnavailableError:
            # What it would add is unknown then, as it is for everybody but root.
            return
        row["power_w"], row["clock_mhz"] = power.power_w, power.clock_mhz
        row["throttle_reasons"] = power.throttle_reasons
