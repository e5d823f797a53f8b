"""Rates from two snapshots: devices come and go, counters start again, machines sleep."""

from __future__ import annotations

import pytest

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


def test_one_snapshot_is_no_rate() -> None:
    assert per_second(None, Counters(10.0, {"eth0": (1, 2)})) == (None, None)
    assert busy_percent(None, CpuTimes(10.0, 1.0, 2.0)) is None


def test_it_divides_the_growth_of_all_devices_by_the_time_between() -> None:
    before = Counters(10.0, {"eth0": (1000, 50), "eth1": (0, 0)})
    after = Counters(12.0, {"eth0": (3000, 150), "eth1": (500, 0)})
    assert per_second(before, after) == (1250.0, 50.0)


def test_no_growth_is_a_rate_of_zero_and_no_device_is_unknown() -> None:
    assert per_second(Counters(1.0, {"a": (5, 5)}), Counters(2.0, {"a": (5, 5)})) == (0.0, 0.0)
    assert per_second(Counters(1.0, {}), Counters(2.0, {})) == (None, None)


def test_a_counter_that_fell_or_is_new_is_left_out_once() -> None:
    before = Counters(1.0, {"eth0": (1000, 1000), "usb0": (900, 900)})
    after = Counters(2.0, {"eth0": (1100, 1200), "usb0": (5, 5), "new0": (7777, 7777)})
    assert per_second(before, after) == (100.0, 200.0)
    assert per_second(Counters(1.0, {"a": (9, 9)}), Counters(2.0, {"a": (10, 0)})) == (None, None)


@pytest.mark.parametrize("gap", [0.0, -1.0, 30.1, 3600.0])
def test_nothing_is_said_of_a_gap_that_no_sampler_makes(gap: float) -> None:
    after = Counters(100.0 + gap, {"a": (10, 10)})
    assert per_second(Counters(100.0, {"a": (0, 0)}), after) == (None, None)
    assert busy_percent(CpuTimes(100.0, 0.0, 0.0), CpuTimes(100.0 + gap, 1.0, 2.0)) is None


def test_the_processors_load_is_its_busy_share() -> None:
    assert busy_percent(CpuTimes(1.0, 10.0, 40.0), CpuTimes(3.0, 11.0, 44.0)) == 25.0
    assert busy_percent(CpuTimes(1.0, 0.0, 0.0), CpuTimes(2.0, 2.0, 1.0)) == 100.0


@pytest.mark.parametrize(("busy", "total"), [(5.0, 40.0), (11.0, 40.0), (9.0, 44.0)])
def test_processor_times_that_stand_or_fall_tell_nothing(busy: float, total: float) -> None:
    assert busy_percent(CpuTimes(1.0, 10.0, 40.0), CpuTimes(3.0, busy, total)) is None


def cores(at: float, *times: tuple[float, float]) -> CoreTimes:
    return CoreTimes(tuple(CpuTimes(at, busy, total) for busy, total in times))


def test_each_core_has_a_load_of_its_own_and_all_together_one() -> None:
    before, after = cores(1.0, (0.0, 10.0), (5.0, 10.0)), cores(3.0, (2.0, 12.0), (5.5, 12.0))
    assert busy_percents(before, after) == (100.0, 25.0)
    assert busy_percent(before.all, after.all) == 62.5


@pytest.mark.parametrize(
    "after",
    [
        cores(3.0, (1.0, 12.0)),
        cores(3.0, (1.0, 12.0), (1.0, 12.0), (1.0, 12.0)),
        cores(3.0, (1.0, 12.0), (1.0, 12.0)),
        cores(99.0, (1.0, 12.0), (9.0, 12.0)),
    ],
)
def test_cores_that_come_go_or_count_backwards_tell_nothing(after: CoreTimes) -> None:
    assert busy_percents(cores(1.0, (0.0, 10.0), (5.0, 10.0)), after) == ()
    assert busy_percents(None, after) == ()


def test_a_counter_that_wraps_at_32_bits_is_unknown_once_and_right_again() -> None:
    snapshots = [(2**32 - 100, 0), (50, 10), (250, 30)]
    read = [Counters(float(2 * at), {"eth0": totals}) for at, totals in enumerate(snapshots)]
    assert per_second(read[0], read[1]) == (None, None)
    assert per_second(read[1], read[2]) == (100.0, 10.0)


def test_only_interfaces_that_leave_the_machine_count() -> None:
    linux = [
        "lo",
        "eth0",
        "eth0.100",
        "wlp3s0",
        "docker0",
        "veth12ab",
        "br-f00",
        "br0",
        "tailscale0",
        "wg0",
        "bond0",
    ]
    assert physical_interfaces(linux) == {"eth0", "wlp3s0"}
    assert physical_interfaces(["lo0", "en0", "utun3", "awdl0", "bridge0"]) == {"en0"}
    windows = [
        "Ethernet",
        "Wi-Fi",
        "Local Area Connection* 1",
        "Loopback Pseudo-Interface 1",
        "vEthernet (WSL)",
    ]
    assert physical_interfaces(windows) == {"Ethernet", "Wi-Fi", "Local Area Connection* 1"}


def test_only_whole_disks_count() -> None:
    linux = [
        "sda",
        "sda1",
        "sda2",
        "nvme0n1",
        "nvme0n1p1",
        "mmcblk0",
        "mmcblk0p2",
        "loop0",
        "dm-0",
        "md0",
        "sdab",
        "sr0",
    ]
    assert physical_disks(linux) == {"sda", "nvme0n1", "mmcblk0", "sdab"}
    assert physical_disks(["disk0", "disk1", "disk1s2"]) == {"disk0", "disk1"}
    assert physical_disks(["PhysicalDrive1", "PhysicalDrive10"]) == {"PhysicalDrive1", "PhysicalDrive10"}
    assert physical_disks(["xvda1"]) == {"xvda1"}
