"""Intel's cards from the kernel's files, of both drivers: rates from two samples, reasons, and which cards count."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agent.gpus import GpuAbsentError
from agent.gpus.intel import IntelGpus
from tests.agent.kernel_files import card, client, lay
from tests.agent.test_lock import Clock

SLOT, INSIDE = "0000:04:00.0", "0000:00:02.0"
XE: dict[str, object] = {
    "device/tile0/gt0/gtidle/idle_residency_ms": 10_000,
    "device/tile0/gt0/freq0/act_freq": 2400,
    "device/tile0/gt0/freq0/throttle/status": 1,
    "device/tile0/gt0/freq0/throttle/reason_pl1": 1,
    "device/tile0/gt0/freq0/throttle/reason_thermal": 0,
    "device/tile0/gt1/gtidle/idle_residency_ms": 50_000,
    "device/hwmon/hwmon2/energy1_input": 1_000_000_000,
    "device/hwmon/hwmon2/power1_max": 190_000_000,
    "device/hwmon/hwmon2/temp2_input": 55_000,
}
I915: dict[str, object] = {
    "gt/gt0/rc6_residency_ms": 100,
    "gt/gt0/rps_act_freq_mhz": 1100,
    "gt/gt0/throttle_reason_status": 0,
    "gt/gt0/throttle_reason_prochot": 0,
}


def gpus(root: Path, clock: Clock) -> IntelGpus:
    return IntelGpus(root=root / "sys", proc=root / "proc", clock=clock)


def test_it_reads_a_card_of_xe(tmp_path: Path) -> None:
    clock = Clock()
    card(tmp_path / "sys", 1, "xe", "8086:E20B", SLOT, XE)
    source = gpus(tmp_path, clock)
    first = source.read().gpus[0]
    assert (first["utilization_percent"], first["power_w"]) == (None, None)
    clock.now += 2
    later = {
        "device/tile0/gt0/gtidle/idle_residency_ms": 10_500,
        "device/tile0/gt1/gtidle/idle_residency_ms": 52_000,
        "device/hwmon/hwmon2/energy1_input": 1_300_000_000,
    }
    lay(tmp_path / "sys/class/drm/card1", later)
    gpu = source.read().gpus[0]
    assert {name: value for name, value in gpu.items() if value not in (None, [])} == {
        "index": 0,
        "name": "Intel E20B",
        "vendor": "intel",
        "utilization_percent": 75.0,
        "temperature_c": 55.0,
        "power_w": 150.0,
        "power_limit_w": 190.0,
        "clock_mhz": 2400.0,
        "throttle_reasons": ["pl1"],
    }


def test_it_reads_a_processors_graphics_of_i915_where_there_is_no_other_gpu(tmp_path: Path) -> None:
    clock = Clock()
    card(tmp_path / "sys", 0, "i915", "8086:5917", INSIDE, I915)
    card(tmp_path / "sys", 1, "ast", "1a03:2000", "0000:02:00.0", {})
    source = gpus(tmp_path, clock)
    source.read()
    clock.now += 2
    lay(tmp_path / "sys/class/drm/card0", {"gt/gt0/rc6_residency_ms": 2100})
    gpu = source.read().gpus[0]
    assert (gpu["utilization_percent"], gpu["clock_mhz"], gpu["throttle_reasons"]) == (0.0, 1100.0, [])


def test_older_kernels_count_sleep_for_the_whole_card(tmp_path: Path) -> None:
    clock = Clock()
    card(tmp_path / "sys", 0, "i915", "8086:5917", INSIDE, {"power/rc6_residency_ms": 0})
    source = gpus(tmp_path, clock)
    source.read()
    clock.now += 2
    lay(tmp_path / "sys/class/drm/card0", {"power/rc6_residency_ms": 1000})
    gpu = source.read().gpus[0]
    assert (gpu["utilization_percent"], gpu["throttle_reasons"]) == (50.0, None)


@pytest.mark.parametrize("other", [("nvidia", "10de:2684"), ("amdgpu", "1002:744C"), ("xe", "8086:E20B")])
def test_a_processors_graphics_do_not_count_beside_a_card(tmp_path: Path, other: tuple[str, str]) -> None:
    card(tmp_path / "sys", 0, "i915", "8086:5917", INSIDE, I915)
    card(tmp_path / "sys", 1, other[0], other[1], SLOT, {})
    if other[0] == "xe":
        assert [gpu["name"] for gpu in gpus(tmp_path, Clock()).read().gpus] == ["Intel E20B"]
    else:
        with pytest.raises(GpuAbsentError):
            gpus(tmp_path, Clock()).read()


@pytest.mark.parametrize(
    ("gap", "asleep"), [(2.0, 5), (0.0, 10_100), (3600.0, 10_100), (2.0, "x"), (2.0, None)]
)
def test_counters_that_cannot_be_compared_tell_nothing(tmp_path: Path, gap: float, asleep: object) -> None:
    clock = Clock()
    files = {"device/tile0/gt0/gtidle/idle_residency_ms": 10_000, "device/hwmon/hwmon0/energy1_input": 500}
    card(tmp_path / "sys", 1, "xe", "8086:E20B", SLOT, dict(files))
    source = gpus(tmp_path, clock)
    source.read()
    clock.now += gap
    place = tmp_path / "sys/class/drm/card1"
    lay(place, {"device/hwmon/hwmon0/energy1_input": 5})
    if asleep is None:
        (place / "device/tile0/gt0/gtidle/idle_residency_ms").unlink()
    else:
        lay(place, {"device/tile0/gt0/gtidle/idle_residency_ms": asleep})
    gpu = source.read().gpus[0]
    assert (gpu["utilization_percent"], gpu["power_w"]) == (None, None)


def test_it_tells_who_holds_the_cards_memory(tmp_path: Path) -> None:
    card(tmp_path / "sys", 1, "xe", "8086:E20B", SLOT, XE)
    told = f"drm-driver:\txe\ndrm-pdev:\t{SLOT}\ndrm-client-id:\t8\ndrm-resident-vram0:\t12 MiB"
    client(tmp_path / "proc", os.getpid(), 4, told)
    (process,) = gpus(tmp_path, Clock()).read().gpus[0]["processes"]
    assert (process["pid"], process["memory_bytes"]) == (os.getpid(), 12 << 20)


def test_a_machine_without_one_has_none(tmp_path: Path) -> None:
    with pytest.raises(GpuAbsentError):
        gpus(tmp_path, Clock()).read()
