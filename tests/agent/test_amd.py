"""AMD's cards from the kernel's files: whole, damaged, asleep, crashed; and who holds their memory."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from agent.gpus import GpuAbsentError, GpuUnavailableError
from agent.gpus.amd import PROCESSES_S, AmdGpus
from agent.gpus.drm import Card, cards, memory_on_card, model_name
from tests.agent.kernel_files import card, client, lay
from tests.agent.test_lock import Clock

SLOT = "0000:03:00.0"
WHOLE: dict[str, object] = {
    "device/gpu_busy_percent": 37,
    "device/mem_info_vram_total": 17163091968,
    "device/mem_info_vram_used": 5368709120,
    "device/unique_id": "5a3c0f1122334455",
    "device/product_name": "Radeon Pro X",
    "device/pp_dpm_sclk": "0: 500Mhz \n1: 1800Mhz *\n2: 2575Mhz",
    "device/pp_dpm_mclk": "0: 96Mhz *\n1: 1000Mhz",
    "device/hwmon/hwmon4/temp1_input": 61500,
    "device/hwmon/hwmon4/power1_average": 143250000,
    "device/hwmon/hwmon4/power1_cap": 272000000,
    "device/ras/umc_err_count": "ue: 1\nce: 4",
    "device/ras/gfx_err_count": "ue: 0\nce: 2",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "sys"


def gpus(root: Path, clock: Clock | None = None) -> AmdGpus:
    return AmdGpus(root=root, proc=root.parent / "proc", clock=clock or Clock())


def one(root: Path, **changes: Any) -> Any:
    files = {name: text for name, text in (WHOLE | changes).items() if text is not None}
    card(root, 0, "amdgpu", "1002:744C", SLOT, files)
    return gpus(root).read().gpus[0]


def test_it_reads_every_figure(root: Path) -> None:
    assert {name: value for name, value in one(root).items() if value not in (None, [])} == {
        "index": 0,
        "uuid": "5a3c0f1122334455",
        "name": "Radeon Pro X",
        "vendor": "amd",
        "utilization_percent": 37.0,
        "memory_total_bytes": 17163091968,
        "memory_used_bytes": 5368709120,
        "temperature_c": 61.5,
        "power_w": 143.2,
        "power_limit_w": 272.0,
        "clock_mhz": 1800.0,
        "memory_clock_mhz": 96.0,
        "ecc_errors": {"corrected": 6, "uncorrected": 1},
    }


def test_newer_drivers_have_other_files(root: Path) -> None:
    gpu = one(
        root,
        **{
            "device/hwmon/hwmon4/power1_average": None,
            "device/hwmon/hwmon4/power1_input": 50000000,
            "device/hwmon/hwmon4/freq1_input": 2100000000,
            "device/hwmon/hwmon4/freq2_input": 1250000000,
        },
    )
    assert (gpu["power_w"], gpu["clock_mhz"], gpu["memory_clock_mhz"]) == (50.0, 2100.0, 1250.0)


@pytest.mark.parametrize("noise", ["", "N/A", "-5", "1e3", "9" * 40, b"\xff\xfe\x00", "101 %"])
def test_a_file_that_makes_no_sense_is_unknown_and_costs_no_other(root: Path, noise: Any) -> None:
    for name in WHOLE:
        if name == "device/mem_info_vram_total":
            continue
        gpu = one(root, **{name: noise})
        assert gpu["memory_total_bytes"] == 17163091968
    gpu = one(root, **dict.fromkeys([*WHOLE][:2], noise))
    assert (gpu["utilization_percent"], gpu["memory_total_bytes"]) == (None, None)


def test_a_card_that_has_no_name_is_called_by_its_number(root: Path, tmp_path: Path) -> None:
    assert one(root, **{"device/product_name": ""})["name"] == "AMD 744C"
    ids = tmp_path / "pci.ids"
    ids.write_text(
        "# list\n1001  Other\n\t744c  Wrong\n1002  Advanced Micro\n\t744b  X\n\t744c  Navi 31\n\t\t1 2  Sub\n"
    )
    here = Card(root, SLOT, "0x1002", "744c", "amdgpu")
    assert model_name(here, (str(tmp_path / "none"), str(ids))) == "Navi 31"
    assert model_name(Card(root, SLOT, "0x1002", "ffff", ""), (str(ids),)) is None


def test_a_card_that_crashed_is_named_and_the_other_is_read(root: Path) -> None:
    card(root, 0, "amdgpu", "1002:744C", SLOT, WHOLE)
    card(root, 1, "amdgpu", "1002:744C", "0000:04:00.0", {})
    reading = gpus(root).read()
    assert reading.error == "0000:04:00.0: the driver tells nothing"
    assert [gpu["temperature_c"] for gpu in reading.gpus] == [61.5, None]


def test_cards_that_all_fall_silent_are_unavailable(root: Path) -> None:
    card(root, 0, "amdgpu", "1002:744C", SLOT, {})
    with pytest.raises(GpuUnavailableError, match=f"nothing of any GPU: {SLOT}"):
        gpus(root).read()


def test_a_card_that_sleeps_is_not_woken_and_no_fault(root: Path) -> None:
    card(root, 0, "amdgpu", "1002:744C", SLOT, WHOLE | {"device/power/runtime_status": "suspended"})
    reading = gpus(root).read()
    assert (reading.error, reading.gpus[0]["name"]) == (None, "Radeon Pro X")
    assert reading.gpus[0]["temperature_c"] is None


def test_a_machine_without_such_a_card_has_none(root: Path) -> None:
    with pytest.raises(GpuAbsentError):
        gpus(root).read()
    card(root, 0, "ast", "1a03:2000", "0000:02:00.0", {})
    card(root, 1, "vfio-pci", "1002:744C", SLOT, WHOLE)
    with pytest.raises(GpuAbsentError):
        gpus(root).read()


def test_cards_come_in_the_kernels_order_and_their_outputs_are_none(root: Path) -> None:
    for number in (10, 2):
        card(root, number, "amdgpu", "1002:744C", f"0000:{number:02}:00.0", WHOLE)
    assert [found.folder.name for found in cards(root)] == ["card2", "card10"]


FDINFO = (
    "pos:\t0\ndrm-driver:\tamdgpu\ndrm-pdev:\t{slot}\ndrm-client-id:\t{client}\ndrm-memory-vram:\t{kib} KiB\n"
)


def test_it_tells_who_holds_memory_each_client_once(root: Path) -> None:
    proc, me = root.parent / "proc", os.getpid()
    card(root, 0, "amdgpu", "1002:744C", SLOT, WHOLE)
    client(proc, me, 5, FDINFO.format(slot=SLOT, client=1, kib=2048))
    client(proc, me, 6, FDINFO.format(slot=SLOT, client=1, kib=2048))
    client(proc, me, 7, FDINFO.format(slot=SLOT, client=2, kib=1024))
    client(proc, me, 8, FDINFO.format(slot="0000:09:00.0", client=3, kib=4096))
    client(proc, me, 9, FDINFO.format(slot=SLOT, client=4, kib=9999), target="/dev/null")
    client(proc, 2**22 + 5, 3, FDINFO.format(slot=SLOT, client=9, kib=0))
    (process,) = gpus(root).read().gpus[0]["processes"]
    assert (process["pid"], process["memory_bytes"]) == (me, 3 << 20)
    assert process["command"]
    assert process["user"]


def test_processes_of_rocm_are_found_too(root: Path) -> None:
    card(root, 0, "amdgpu", "1002:744C", SLOT, WHOLE)
    lay(
        root / "class/kfd/kfd",
        {
            "topology/nodes/0/gpu_id": 0,
            "topology/nodes/1/gpu_id": 50128,
            "topology/nodes/1/properties": "cpu_cores_count 0\nlocation_id 768\ndomain 0",
            "proc/4194312/vram_50128": 7 << 30,
            "proc/4194313/vram_50128": 0,
            "proc/4194314/vram_1": 5,
            "proc/x/vram_50128": 5,
        },
    )
    processes = gpus(root).read().gpus[0]["processes"]
    assert [(process["pid"], process["memory_bytes"]) for process in processes] == [(4194312, 7 << 30)]


def test_processes_are_looked_for_less_often_than_figures(root: Path) -> None:
    clock, proc = Clock(), root.parent / "proc"
    card(root, 0, "amdgpu", "1002:744C", SLOT, WHOLE)
    source = gpus(root, clock)
    assert source.read().gpus[0]["processes"] == []
    client(proc, os.getpid(), 5, FDINFO.format(slot=SLOT, client=1, kib=2048))
    assert source.read().gpus[0]["processes"] == []
    clock.now += PROCESSES_S
    assert len(source.read().gpus[0]["processes"]) == 1


@pytest.mark.parametrize(
    ("text", "held"),
    [
        ("drm-memory-vram:\t5 KiB", 5 << 10),
        ("drm-total-vram:\t9 MiB\ndrm-resident-vram:\t7 MiB\ndrm-memory-vram:\t8 MiB", 7 << 20),
        ("drm-resident-vram0:\t1 GiB\ndrm-resident-vram1:\t1 GiB\ndrm-resident-gtt:\t4 GiB", 2 << 30),
        ("drm-total-local0:\t3 MiB\ndrm-total-system0:\t3 MiB", 3 << 20),
        ("drm-resident-vram0:\t512", 512),
        ("drm-memory-vram:\t-5 KiB\ndrm-memory-vram: x\nnonsense", 0),
        ("", 0),
    ],
)
def test_memory_on_the_card_is_read_in_every_drivers_spelling(text: str, held: int) -> None:
    assert memory_on_card(text) == held
