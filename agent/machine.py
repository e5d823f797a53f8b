"""What psutil says of this machine at one moment: processor, memory, network, disks, filesystems, heat."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from typing import Any

import psutil

from agent.clock import Clock, iso, steady
from agent.payloads import DiskPayload, FilesystemPayload, NetworkPayload, SpacePayload
from agent.rates import (
    CoreTimes,
    Counters,
    CpuTimes,
    busy_percent,
    busy_percents,
    per_second,
    physical_disks,
    physical_interfaces,
)

UNKNOWN_SPACE: SpacePayload = {"total_bytes": None, "used_bytes": None, "percent": None}
_MOST_FILESYSTEMS = 64
_UNCOUNTED_FILESYSTEMS = {"squashfs", "iso9660", "udf", "devfs", "erofs"}
_SENSORS = ("coretemp", "k10temp", "zenpower", "cpu_thermal", "cpu-thermal", "soc_thermal", "acpitz")


@dataclass(frozen=True)
class MachineReading:
    """One sample; the rates and the processor's load are since the sample before."""

    sampled_at: str = field(default_factory=lambda: iso(time.time()))
    cpu_percent: float | None = None
    per_core: tuple[float, ...] = ()
    load1: float | None = None
    memory: SpacePayload = field(default_factory=UNKNOWN_SPACE.copy)
    swap: SpacePayload = field(default_factory=UNKNOWN_SPACE.copy)
    network: NetworkPayload = field(default_factory=lambda: NetworkPayload(rx_mbps=None, tx_mbps=None))
    disk: DiskPayload = field(default_factory=lambda: DiskPayload(read_mb_s=None, write_mb_s=None))


class MachineReader:
    """Takes samples and remembers the counters of the last one. For one thread; keeps nothing else."""

    def __init__(self, clock: Clock = steady) -> None:
        self._clock = clock
        self._cpu: CoreTimes | None = None
        self._network: Counters | None = None
        self._disk: Counters | None = None

    def read(self) -> MachineReading:
        """One sample, taken now. Parts that the system does not tell are None."""
        total, per_core = self._cpu_percents()
        return MachineReading(
            cpu_percent=total,
            per_core=per_core,
            load1=_load1(),
            memory=_memory(),
            swap=_swap(),
            network=self._network_rates(),
            disk=self._disk_rates(),
        )

    def _cpu_percents(self) -> tuple[float | None, tuple[float, ...]]:
        at = self._clock()
        now = CoreTimes(tuple(_core_times(at, times) for times in psutil.cpu_times(percpu=True)))
        before, self._cpu = self._cpu, now
        total = busy_percent(before.all, now.all) if before and now.cores else None
        return _rounded(total, 1), tuple(round(core, 1) for core in busy_percents(before, now))

    def _network_rates(self) -> NetworkPayload:
        try:
            counters = psutil.net_io_counters(pernic=True, nowrap=False)
        except (psutil.Error, OSError):
            counters = {}
        totals = {
            name: (counters[name].bytes_recv, counters[name].bytes_sent)
            for name in physical_interfaces(counters)
        }
        now = Counters(self._clock(), totals)
        before, self._network = self._network, now
        received, sent = per_second(before, now)
        return {"rx_mbps": _rounded(received, 3, 8e-6), "tx_mbps": _rounded(sent, 3, 8e-6)}

    def _disk_rates(self) -> DiskPayload:
        try:
            counters = psutil.disk_io_counters(perdisk=True, nowrap=False)
        except (psutil.Error, OSError):
            counters = {}
        totals = {
            name: (counters[name].read_bytes, counters[name].write_bytes) for name in physical_disks(counters)
        }
        now = Counters(self._clock(), totals)
        before, self._disk = self._disk, now
        read, written = per_second(before, now)
        return {"read_mb_s": _rounded(read, 3, 1e-6), "write_mb_s": _rounded(written, 3, 1e-6)}


@dataclass(frozen=True)
class SlowReading:
    """What costs too much to ask every two seconds."""

    filesystems: tuple[FilesystemPayload, ...] = ()
    cpu_temperature_c: float | None = None


def read_slow_parts() -> SlowReading:
    """Filesystems and the processor's heat. May hang for as long as a dead disk does."""
    return SlowReading(filesystems=tuple(_filesystems()), cpu_temperature_c=_cpu_temperature())


def _core_times(at: float, times: Any) -> CpuTimes:
    # Linux counts a guest's time within the user's already.
    guests = getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)
    total = sum(times) - guests
    return CpuTimes(at, total - times.idle - getattr(times, "iowait", 0.0), total)


def _load1() -> float | None:
    # Windows has no load average; psutil's imitation begins at 0, which would be a lie here.
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def _memory() -> SpacePayload:
    try:
        memory = psutil.virtual_memory()
    except (psutil.Error, OSError):
        return UNKNOWN_SPACE.copy()
    return _space(memory.total, memory.total - memory.available)


def _swap() -> SpacePayload:
    try:
        swap = psutil.swap_memory()
    except (psutil.Error, OSError):
        return UNKNOWN_SPACE.copy()
    return _space(swap.total, swap.used)


def _space(total: int, used: int) -> SpacePayload:
    return {
        "total_bytes": total,
        "used_bytes": used,
        "percent": round(100 * used / total, 1) if total else None,
    }


def _filesystems() -> list[FilesystemPayload]:
    """The mounted filesystems, each device once under its shortest mount point; the root always."""
    mounts: dict[str, str] = {}
    for part in psutil.disk_partitions(all=False):
        known = mounts.get(part.device)
        if part.fstype in _UNCOUNTED_FILESYSTEMS or not _is_of_interest(part.mountpoint):
            continue
        if known is None or len(part.mountpoint) < len(known):
            mounts[part.device] = part.mountpoint
    found = set(mounts.values())
    if os.name == "posix":
        # In a container the root is an overlay, which has no device.
        found.add("/")
    usages = [_filesystem(mount) for mount in sorted(found)[:_MOST_FILESYSTEMS]]
    return [usage for usage in usages if usage is not None]


def _is_of_interest(mount: str) -> bool:
    """Files mounted into a container and macOS' own hidden volumes are not filesystems that anybody fills."""
    if mount.startswith("/System/Volumes/"):
        return mount == "/System/Volumes/Data"
    return os.path.isdir(mount)


def _filesystem(mount: str) -> FilesystemPayload | None:
    try:
        usage = psutil.disk_usage(mount)
    except OSError:
        return None
    if not usage.total:
        return None
    return {
        "mount": mount,
        "total_bytes": usage.total,
        "used_bytes": usage.used,
        "percent": round(usage.percent, 1),
    }


def _cpu_temperature() -> float | None:
    if not hasattr(psutil, "sensors_temperatures"):
        return None
    try:
        sensors = psutil.sensors_temperatures()
    except (psutil.Error, OSError):
        return None
    for name in _SENSORS:
        # Below 0 and above 150 stand for a sensor that is not wired.
        heats = [sensor.current for sensor in sensors.get(name, []) if 0 < sensor.current < 150]
        if heats:
            return round(float(max(heats)), 1)
    return None


def _rounded(value: float | None, digits: int, factor: float = 1.0) -> float | None:
    return None if value is None else round(value * factor, digits)
