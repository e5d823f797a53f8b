"""Huawei's Ascend NPUs through the table of `npu-smi info`. A card of two chips is two GPUs."""

from __future__ import annotations

from agent.gpus import GpuAbsentError, GpuReading, GpuUnavailableError
from agent.gpus.commands import Run, run
from agent.gpus.npu_table import Chip, Process, parse
from agent.gpus.rows import gpu_process, unknown_gpu
from agent.payloads import GpuPayload
from agent.processes import ProcessBook

# The tool asks every chip in turn and takes seconds on a full machine.
EVERY_S = 6.0


class AscendNpus:
    """Reads every chip; a row of the table that makes no sense is said, and costs no other row."""

    vendor = "ascend"

    def __init__(self, run: Run = run, processes: ProcessBook | None = None) -> None:
        self._run = run
        self._processes = processes or ProcessBook()

    def read(self) -> GpuReading:
        """One sample, which takes as long as the tool."""
        try:
            table = parse(self._run(["npu-smi", "info"]))
        except GpuAbsentError:
            raise GpuAbsentError("no Ascend driver: its program npu-smi was not found") from None
        if not table.chips:
            raise GpuUnavailableError("npu-smi shows no NPU to this process")
        chips = {(chip.npu, chip.chip): chip for chip in table.chips}
        rows = tuple(self._row(chip, table.processes) for chip in chips.values())
        fault = f"{table.unread} rows of npu-smi make no sense" if table.unread else None
        return GpuReading(rows, fault)

    def close(self) -> None:
        """There is nothing to let go of."""

    def _row(self, chip: Chip, processes: list[Process]) -> GpuPayload:
        mine = [one for one in processes if (one.npu, one.chip) == (chip.npu, chip.chip)]
        return {
            **unknown_gpu(self.vendor),
            "name": chip.name,
            "utilization_percent": chip.utilization_percent,
            "memory_total_bytes": chip.memory_total_bytes,
            "memory_used_bytes": chip.memory_used_bytes,
            "temperature_c": chip.temperature_c,
            "power_w": chip.power_w,
            "health": chip.health,
            "processes": [gpu_process(self._processes, one.pid, one.memory_bytes, one.name) for one in mine],
        }
