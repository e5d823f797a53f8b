"""How fast counters grow, from two snapshots. Pure; knows that devices come, go and start again at 0."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

# A rate over a longer gap (the machine slept, the sampler hung) would be an average of nothing anybody saw.
MAX_GAP_S = 30.0


@dataclass(frozen=True)
class Counters:
    """Each device's two running totals (in and out, read and write) at a moment of a steady clock."""

    at: float
    totals: Mapping[str, tuple[int, int]]


@dataclass(frozen=True)
class CpuTimes:
    """Seconds since boot that a core, or all of them together, was busy, and that there were in all."""

    at: float
    busy: float
    total: float


@dataclass(frozen=True)
class CoreTimes:
    """Each core's times at one moment of a steady clock, in the system's order."""

    cores: tuple[CpuTimes, ...]

    @property
    def all(self) -> CpuTimes:
        """All cores together."""
        return CpuTimes(
            self.cores[0].at if self.cores else 0.0,
            sum(core.busy for core in self.cores),
            sum(core.total for core in self.cores),
        )


def per_second(before: Counters | None, after: Counters) -> tuple[float | None, float | None]:
    """Growth per second of both totals over all devices, None where no two snapshots can be compared.

    A device that is new or whose counter fell is left out once, instead of being guessed.
    """
    if before is None or not _comparable(before.at, after.at):
        return None, None
    grown = [
        (now[0] - then[0], now[1] - then[1])
        for device, now in after.totals.items()
        if (then := before.totals.get(device)) is not None and now[0] >= then[0] and now[1] >= then[1]
    ]
    if not grown:
        return None, None
    gap = after.at - before.at
    return sum(first for first, _ in grown) / gap, sum(second for _, second in grown) / gap


def busy_percent(before: CpuTimes | None, after: CpuTimes) -> float | None:
    """How busy the processor was between the snapshots, 0 to 100, None where they cannot be compared."""
    if before is None or not _comparable(before.at, after.at):
        return None
    total, busy = after.total - before.total, after.busy - before.busy
    if total <= 0 or busy < 0:
        return None
    return min(100.0, 100.0 * busy / total)


def busy_percents(before: CoreTimes | None, after: CoreTimes) -> tuple[float, ...]:
    """How busy each core was between the snapshots; empty where one is unknown or a core came or went."""
    if before is None or len(before.cores) != len(after.cores):
        return ()
    told = [busy_percent(then, now) for then, now in zip(before.cores, after.cores, strict=True)]
    known = tuple(percent for percent in told if percent is not None)
    return known if len(known) == len(told) else ()


def physical_interfaces(names: Iterable[str]) -> set[str]:
    """The interfaces whose traffic leaves the machine; the others repeat it or stay inside."""
    given = set(names)
    return {name for name in given if not _is_virtual(name) and name.split(".")[0] not in given - {name}}


def physical_disks(names: Iterable[str]) -> set[str]:
    """The disks themselves, without the partitions of one that is there too and what sits on top."""
    given = {name for name in names if not name.startswith(_VIRTUAL_DISKS)}
    return {name for name in given if not any(_is_partition(name, disk) for disk in given)}


_BRIDGES = ("docker", "br-", "virbr", "vmbr", "lxcbr", "lxdbr", "incusbr", "cni", "podman", "bridge", "vmnet")
_TUNNELS = (
    "tun",
    "tap",
    "utun",
    "wg",
    "tailscale",
    "zt",
    "flannel",
    "cali",
    "kube",
    "veth",
    "vethernet",
    "lxc",
)
_STACKED = ("bond", "team", "dummy", "ifb", "loopback", "awdl", "llw", "gif", "stf", "ap1", "anpi")
_VIRTUAL_INTERFACES = _BRIDGES + _TUNNELS + _STACKED
_VIRTUAL_DISKS = ("loop", "ram", "zram", "dm-", "md", "sr", "fd", "nbd")


def _is_virtual(name: str) -> bool:
    lowered = name.lower()
    if lowered in {"lo", "lo0"} or lowered.startswith(_VIRTUAL_INTERFACES):
        return True
    return lowered.startswith("br") and lowered[2:].isdigit()


def _is_partition(name: str, disk: str) -> bool:
    if name == disk or not name.startswith(disk):
        return False
    rest = name[len(disk) :]
    # nvme0n1p2 and mmcblk0p1 carry a p, sda3 does not; disk1s2 is macOS' way.
    return rest.isdigit() if not disk[-1].isdigit() else rest[:1] in "ps" and rest[1:].isdigit()


def _comparable(then: float, now: float) -> bool:
    return 0 < now - then <= MAX_GAP_S
