"""The figures of a node that are kept, drawn and watched: their names, their units, and where a reading has them. Pure.

The names are one vocabulary: history, alert rules, Prometheus and the pages all use them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from nodes.payloads import Filesystem, Gpu, Status

NODE, GPU, FILESYSTEM = "node", "gpu", "filesystem"


@dataclass(frozen=True, slots=True)
class Metric:
    """One kind of figure. `per` is what has it: a node, each of its GPUs, or each of its filesystems."""

    name: str
    unit: str
    per: str = NODE


class Figure(NamedTuple):
    """Which figure of a node: `subject` is empty, a GPU's index, or a filesystem's mount point."""

    metric: str
    subject: str = ""


_ALL = (
    Metric("cpu_percent", "percent"),
    Metric("cpu_temperature_c", "celsius"),
    Metric("load1", ""),
    Metric("memory_percent", "percent"),
    Metric("memory_used_bytes", "bytes"),
    Metric("swap_percent", "percent"),
    Metric("net_rx_mbps", "Mbps"),
    Metric("net_tx_mbps", "Mbps"),
    Metric("disk_read_mb_s", "MB/s"),
    Metric("disk_write_mb_s", "MB/s"),
    Metric("gpu_utilization_percent", "percent", GPU),
    Metric("gpu_memory_percent", "percent", GPU),
    Metric("gpu_memory_used_bytes", "bytes", GPU),
    Metric("gpu_temperature_c", "celsius", GPU),
    Metric("gpu_power_w", "watts", GPU),
    Metric("filesystem_percent", "percent", FILESYSTEM),
)
METRICS = {metric.name: metric for metric in _ALL}


def figures(status: Status) -> dict[Figure, float]:
    """What a reading tells; what it does not tell is left out, never 0."""
    return {
        figure: float(value) for figure, value in _told(status) if value is not None and math.isfinite(value)
    }


def _told(status: Status) -> Iterator[tuple[Figure, float | None]]:
    cpu, memory = status["cpu"], status["memory"]
    yield Figure("cpu_percent"), cpu["percent"]
    yield Figure("cpu_temperature_c"), cpu["temperature_c"]
    yield Figure("load1"), cpu["load1"]
    yield Figure("memory_percent"), memory["percent"]
    yield Figure("memory_used_bytes"), memory["used_bytes"]
    yield Figure("swap_percent"), status["swap"]["percent"]
    yield Figure("net_rx_mbps"), status["network"]["rx_mbps"]
    yield Figure("net_tx_mbps"), status["network"]["tx_mbps"]
    yield Figure("disk_read_mb_s"), status["disk"]["read_mb_s"]
    yield Figure("disk_write_mb_s"), status["disk"]["write_mb_s"]
    for gpu in status["gpus"]:
        if gpu["index"] is not None:
            yield from _of_gpu(gpu, str(gpu["index"]))
    for filesystem in status["filesystems"]:
        yield from _of_filesystem(filesystem)


def _of_gpu(gpu: Gpu, subject: str) -> Iterator[tuple[Figure, float | None]]:
    used, total = gpu["memory_used_bytes"], gpu["memory_total_bytes"]
    yield Figure("gpu_utilization_percent", subject), gpu["utilization_percent"]
    yield (
        Figure("gpu_memory_percent", subject),
        min(100.0, 100 * used / total) if total and used is not None else None,
    )
    yield Figure("gpu_memory_used_bytes", subject), used
    yield Figure("gpu_temperature_c", subject), gpu["temperature_c"]
    yield Figure("gpu_power_w", subject), gpu["power_w"]


def _of_filesystem(filesystem: Filesystem) -> Iterator[tuple[Figure, float | None]]:
    if filesystem["mount"]:
        yield Figure("filesystem_percent", filesystem["mount"]), filesystem["percent"]
