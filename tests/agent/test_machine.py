"""What this very machine tells of itself: real values, rates from the second sample on, a steady identity."""

from __future__ import annotations

import os
import time

import psutil

from agent.clock import iso, steady
from agent.identity import read_identity, uptime_s
from agent.machine import MachineReader, read_slow_parts
from tests.agent.test_lock import Clock


def test_the_first_sample_has_no_rates_and_the_second_has() -> None:
    clock = Clock()
    reader = MachineReader(clock)
    first = reader.read()
    assert (first.cpu_percent, first.per_core) == (None, ())
    assert set(first.network.values()) | set(first.disk.values()) == {None}
    sum(range(2_000_000))
    time.sleep(0.05)
    clock.now += 2
    second = reader.read()
    assert second.cpu_percent is not None
    assert 0 <= second.cpu_percent <= 100
    assert len(second.per_core) == psutil.cpu_count()
    assert all(0 <= core <= 100 for core in second.per_core)
    assert all(rate is None or (isinstance(rate, float) and rate >= 0) for rate in second.network.values())


def test_after_a_sleep_the_rates_are_unknown_once() -> None:
    clock = Clock()
    reader = MachineReader(clock)
    reader.read()
    clock.now += 3600
    assert reader.read().cpu_percent is None
    clock.now += 2
    time.sleep(0.05)
    assert reader.read().cpu_percent is not None


def test_memory_is_what_the_system_says() -> None:
    memory = MachineReader().read().memory
    real = psutil.virtual_memory()
    assert memory["total_bytes"] == real.total
    assert memory["used_bytes"] is not None
    assert 0 < memory["used_bytes"] < real.total
    assert memory["percent"] == round(100 * memory["used_bytes"] / real.total, 1)


def test_no_swap_is_a_share_of_nothing() -> None:
    swap = MachineReader().read().swap
    assert (swap["percent"] is None) is (psutil.swap_memory().total == 0)


def test_the_root_filesystem_is_there_once() -> None:
    mounts = [filesystem["mount"] for filesystem in read_slow_parts().filesystems]
    assert mounts.count("/") == (1 if os.name == "posix" else 0)
    assert len(mounts) == len(set(mounts))


def test_the_identity_is_the_same_each_time_it_is_read() -> None:
    identity = read_identity()
    assert identity == read_identity()
    assert identity.hostname
    assert identity.os
    assert len(identity.boot_id) >= 16
    assert identity.logical_cores == psutil.cpu_count()
    assert identity.physical_cores == psutil.cpu_count(logical=False)


def test_uptime_counts_from_the_boot() -> None:
    uptime = uptime_s()
    assert uptime is not None
    assert abs(uptime - (time.time() - psutil.boot_time())) < 5


def test_the_steady_clock_goes_forward_at_the_pace_of_time() -> None:
    began, wall = steady(), time.time()
    time.sleep(0.05)
    assert abs((steady() - began) - (time.time() - wall)) < 0.2


def test_instants_are_written_in_utc_with_milliseconds() -> None:
    assert iso(0.0) == "1970-01-01T00:00:00.000Z"
    assert iso(1795259335.5) == "2026-11-21T11:08:55.500Z"
