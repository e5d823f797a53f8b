"""NVIDIA's cards: every figure, figures that are not told, cards that fail, a driver that is not there."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from agent.gpus import GpuAbsentError, GpuUnavailableError
from agent.gpus.nvidia import NvidiaGpus, load_nvml
from tests.agent.fake_nvml import (
    DRIVER_NOT_LOADED,
    FUNCTION_NOT_FOUND,
    GPU_IS_LOST,
    LIBRARY_NOT_FOUND,
    NOT_SUPPORTED,
    UNINITIALIZED,
    UNKNOWN,
    VERSION_MISMATCH,
    Card,
    FakeNvml,
)


def gpus(nvml: FakeNvml) -> NvidiaGpus:
    return NvidiaGpus(load=lambda: nvml)


def test_it_reads_every_figure() -> None:
    reading = gpus(FakeNvml(Card())).read()
    assert reading.error is None
    assert reading.gpus == (
        {
            "index": 0,
            "uuid": "GPU-aa",
            "name": "RTX 4090",
            "vendor": "nvidia",
            "utilization_percent": 37.0,
            "memory_total_bytes": 24 << 30,
            "memory_used_bytes": 3 << 30,
            "temperature_c": 61.0,
            "power_w": 212.5,
            "power_limit_w": 450.0,
            "processes": [],
        },
    )


def test_a_figure_that_is_not_supported_is_unknown_and_no_fault() -> None:
    mig = Card(
        faults={"nvmlDeviceGetUtilizationRates": NOT_SUPPORTED, "nvmlDeviceGetPowerUsage": NOT_SUPPORTED}
    )
    reading = gpus(FakeNvml(mig)).read()
    assert reading.error is None
    assert reading.gpus[0]["utilization_percent"] is None
    assert reading.gpus[0]["power_w"] is None
    assert reading.gpus[0]["temperature_c"] == 61.0


def test_it_asks_older_drivers_in_their_own_way() -> None:
    old = Card(
        name=b"Tesla P4",
        faults={
            "nvmlDeviceGetMemoryInfo_v2": FUNCTION_NOT_FOUND,
            "nvmlDeviceGetTemperatureV": FUNCTION_NOT_FOUND,
            "nvmlDeviceGetEnforcedPowerLimit": FUNCTION_NOT_FOUND,
        },
    )
    gpu = gpus(FakeNvml(old)).read().gpus[0]
    assert (gpu["name"], gpu["memory_used_bytes"], gpu["temperature_c"], gpu["power_limit_w"]) == (
        "Tesla P4",
        4 << 30,
        61.0,
        450.0,
    )


def test_a_lost_card_is_named_and_the_others_are_read() -> None:
    nvml = FakeNvml(Card(), Card(uuid="GPU-bb", faults={"*": GPU_IS_LOST}), Card(uuid="GPU-cc"))
    reading = gpus(nvml).read()
    assert reading.error == "GPU 1: GPU is lost"
    assert [gpu["index"] for gpu in reading.gpus] == [0, 1, 2]
    assert reading.gpus[1]["memory_used_bytes"] is None
    assert reading.gpus[1]["utilization_percent"] is None
    assert reading.gpus[2]["temperature_c"] == 61.0


def test_one_broken_figure_is_unknown_and_named() -> None:
    reading = gpus(FakeNvml(Card(faults={"nvmlDeviceGetPowerUsage": UNKNOWN}))).read()
    assert reading.error == "GPU 0: Unknown Error"
    assert reading.gpus[0]["power_w"] is None
    assert reading.gpus[0]["temperature_c"] == 61.0


def test_cards_that_all_fall_silent_call_for_a_fresh_start() -> None:
    source = gpus(FakeNvml(Card(faults={"*": UNKNOWN}), Card(faults={"*": UNKNOWN})))
    with pytest.raises(
        GpuUnavailableError, match=r"nothing of any GPU: GPU 0: Unknown Error; GPU 1: Unknown Error"
    ):
        source.read()


@pytest.mark.parametrize("error", [UNINITIALIZED, DRIVER_NOT_LOADED, VERSION_MISMATCH])
def test_a_driver_that_breaks_in_between_is_unavailable_and_opened_anew(error: int) -> None:
    nvml = FakeNvml(Card())
    source = gpus(nvml)
    source.read()
    nvml.cards[0].faults["nvmlDeviceGetMemoryInfo_v2"] = error
    with pytest.raises(GpuUnavailableError, match="NVML does not answer"):
        source.read()
    source.close()
    nvml.cards[0].faults.clear()
    assert source.read().error is None
    assert (nvml.opened, nvml.closed) == (2, 1)


def test_a_driver_that_does_not_start_says_why() -> None:
    nvml = FakeNvml(Card())
    nvml.start_error = VERSION_MISMATCH
    with pytest.raises(GpuUnavailableError, match=r"NVML does not start: .*mismatch"):
        gpus(nvml).read()
    nvml.start_error = LIBRARY_NOT_FOUND
    with pytest.raises(GpuAbsentError, match="no NVIDIA driver"):
        gpus(nvml).read()


def test_it_opens_the_library_once() -> None:
    nvml = FakeNvml(Card())
    source = gpus(nvml)
    for _ in range(3):
        source.read()
    assert nvml.opened == 1
    source.close()
    source.close()
    assert nvml.closed == 1


def test_it_lists_processes_once_each_with_what_is_known_of_them() -> None:
    me, stranger = os.getpid(), 2**22 + 7
    card = Card(compute=((me, 2 << 30), (stranger, None)), graphics=((me, None), (stranger, 5)))
    processes = gpus(FakeNvml(card)).read().gpus[0]["processes"]
    assert [(row["pid"], row["memory_bytes"]) for row in processes] == [(me, 2 << 30), (stranger, 5)]
    assert processes[0]["name"]
    assert processes[0]["user"]
    assert (processes[0]["started_at"] or "").endswith("Z")
    assert "pytest" in (processes[0]["command"] or "")
    assert {processes[1][name] for name in ("name", "user", "container", "started_at", "command")} == {None}


def test_the_commands_of_processes_are_redacted() -> None:
    secret = "hf_abcdefghijklmnopqrstuvwxyz"
    code = "import time; time.sleep(30)"
    child = subprocess.Popen([sys.executable, "-c", code, "--token", "s3cret", f"HF_TOKEN={secret}"])
    source = gpus(FakeNvml(Card(compute=((child.pid, 1),))))
    try:
        # A process that has just begun has no command line yet.
        deadline = time.monotonic() + 15
        while (command := source.read().gpus[0]["processes"][0]["command"]) is None:
            assert time.monotonic() < deadline
    finally:
        child.kill()
        child.wait()
    assert "s3cret" not in command
    assert secret not in command
    assert command.endswith("--token ******** HF_TOKEN=********")


@pytest.mark.skipif(os.path.exists("/proc/driver/nvidia"), reason="this machine has an NVIDIA driver")
def test_a_machine_without_a_driver_pays_for_no_binding() -> None:
    code = (
        "import sys\nfrom agent.gpus import GpuAbsentError\nfrom agent.gpus.nvidia import load_nvml\n"
        "try:\n    load_nvml()\nexcept GpuAbsentError:\n    print('pynvml' in sys.modules)\n"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "False"
    with pytest.raises(GpuAbsentError, match="no NVIDIA driver"):
        load_nvml()
