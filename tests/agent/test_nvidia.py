"""NVIDIA's cards: every figure, figures that are not told, cards that fail, a driver that is not there."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from agent.gpus import GpuAbsentError, GpuUnavailableError
from agent.gpus.nvidia import SLOW_S, NvidiaGpus, load_nvml
from tests.agent.fake_nvml import (
    DRIVER_NOT_LOADED,
    FUNCTION_NOT_FOUND,
    GPU_IS_LOST,
    LIBRARY_NOT_FOUND,
    NO_PERMISSION,
    NOT_SUPPORTED,
    UNINITIALIZED,
    UNKNOWN,
    VERSION_MISMATCH,
    Card,
    FakeNvml,
)
from tests.agent.test_lock import Clock


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
            "clock_mhz": 2520.0,
            "memory_clock_mhz": 10501.0,
            "throttle_reasons": [],
            "ecc_errors": None,
            "xid": None,
            "health": None,
            "mig_devices": [],
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


@pytest.mark.parametrize(
    ("bits", "reasons"),
    [
        (0x0, []),
        (0x1 | 0x2 | 0x10 | 0x100, []),
        (0x4, ["power_cap"]),
        (0x8 | 0x40, ["hw_slowdown", "hw_thermal"]),
        (0x20 | 0x80 | 0x1, ["sw_thermal", "hw_power_brake"]),
    ],
)
def test_it_names_what_holds_a_card_back_and_idling_is_nothing(bits: int, reasons: list[str]) -> None:
    assert gpus(FakeNvml(Card(reasons=bits))).read().gpus[0]["throttle_reasons"] == reasons


def test_older_drivers_call_the_reasons_by_another_name() -> None:
    old = Card(reasons=0x40, faults={"nvmlDeviceGetCurrentClocksEventReasons": FUNCTION_NOT_FOUND})
    assert gpus(FakeNvml(old)).read().gpus[0]["throttle_reasons"] == ["hw_thermal"]
    old.faults["nvmlDeviceGetCurrentClocksThrottleReasons"] = NOT_SUPPORTED
    assert gpus(FakeNvml(old)).read().gpus[0]["throttle_reasons"] is None


def test_memory_errors_are_counted_where_the_card_corrects_them() -> None:
    assert gpus(FakeNvml(Card(ecc=(3, 1)))).read().gpus[0]["ecc_errors"] == {"corrected": 3, "uncorrected": 1}


@pytest.mark.parametrize(
    ("rows", "health"),
    [
        ((0, 0, False, False), "OK"),
        ((1, 0, True, False), "reset required"),
        ((1, 1, True, True), "row remapping failed"),
    ],
)
def test_spare_rows_tell_of_the_cards_health(rows: tuple[int, int, bool, bool], health: str) -> None:
    assert gpus(FakeNvml(Card(rows=rows))).read().gpus[0]["health"] == health


def test_what_changes_rarely_is_asked_rarely() -> None:
    clock, card = Clock(), Card(ecc=(0, 0))
    source = NvidiaGpus(load=lambda: FakeNvml(card), clock=clock)
    source.read()
    card.ecc = (5, 0)
    assert source.read().gpus[0]["ecc_errors"] == {"corrected": 0, "uncorrected": 0}
    clock.now += SLOW_S
    assert source.read().gpus[0]["ecc_errors"] == {"corrected": 5, "uncorrected": 0}


def test_it_tells_the_last_xid_of_each_card_and_never_waits_for_one() -> None:
    nvml = FakeNvml(Card(), Card(uuid="GPU-bb"))
    source = gpus(nvml)
    assert [gpu["xid"] for gpu in source.read().gpus] == [None, None]
    nvml.events += [(nvml.cards[1], 13), (nvml.cards[1], 79)]
    assert [gpu["xid"] for gpu in source.read().gpus] == [None, 79]
    assert [gpu["xid"] for gpu in source.read().gpus] == [None, 79]
    assert nvml.heard == nvml.cards
    source.close()
    assert nvml.heard == []


def test_cards_without_events_are_read_all_the_same() -> None:
    nvml = FakeNvml(Card(faults={"nvmlDeviceRegisterEvents": NOT_SUPPORTED}))
    reading = gpus(nvml).read()
    assert (reading.error, reading.gpus[0]["xid"]) == (None, None)


def test_a_divided_card_is_one_gpu_that_lists_its_parts_and_their_processes() -> None:
    stranger = 2**22 + 7
    part = Card(uuid="MIG-1", name="H100 MIG 2g.20gb", used=1 << 30, total=20 << 30, compute=((stranger, 9),))
    whole = Card(name="H100", parts={2: part}, faults={"nvmlDeviceGetUtilizationRates": NOT_SUPPORTED})
    reading = gpus(FakeNvml(whole)).read()
    assert (reading.error, len(reading.gpus)) == (None, 1)
    gpu = reading.gpus[0]
    assert (gpu["name"], gpu["utilization_percent"], gpu["memory_total_bytes"]) == ("H100", None, 24 << 30)
    assert gpu["mig_devices"] == [
        {
            "uuid": "MIG-1",
            "name": "H100 MIG 2g.20gb",
            "memory_total_bytes": 20 << 30,
            "memory_used_bytes": 1 << 30,
        }
    ]
    assert [(row["pid"], row["memory_bytes"]) for row in gpu["processes"]] == [(stranger, 9)]


def test_what_this_user_may_not_ask_is_unknown_and_no_fault() -> None:
    shy = ("nvmlDeviceGetTotalEccErrors", "nvmlDeviceGetComputeRunningProcesses", "nvmlDeviceGetPowerUsage")
    reading = gpus(FakeNvml(Card(ecc=(1, 1), faults=dict.fromkeys(shy, NO_PERMISSION)))).read()
    assert reading.error is None
    gpu = reading.gpus[0]
    assert (gpu["ecc_errors"], gpu["power_w"], gpu["processes"]) == (None, None, [])


def test_a_driver_that_refuses_this_user_says_so() -> None:
    nvml = FakeNvml(Card())
    nvml.start_error = NO_PERMISSION
    with pytest.raises(GpuUnavailableError, match=r"NVML does not start: Insufficient Permissions"):
        gpus(nvml).read()


def test_a_driver_that_is_reloaded_is_opened_anew_with_its_cards() -> None:
    nvml = FakeNvml(Card())
    source = gpus(nvml)
    source.read()
    nvml.count_error = UNINITIALIZED
    with pytest.raises(GpuUnavailableError):
        source.read()
    source.close()
    nvml.count_error = None
    nvml.cards = [Card(uuid="GPU-new"), Card(uuid="GPU-two")]
    assert [gpu["uuid"] for gpu in source.read().gpus] == ["GPU-new", "GPU-two"]
    assert nvml.heard == nvml.cards


def test_a_lost_card_is_named_and_the_others_are_read() -> None:
    nvml = FakeNvml(Card(), Card(uuid="GPU-bb", faults={"*": GPU_IS_LOST}), Card(uuid="GPU-cc"))
    reading = gpus(nvml).read()
    assert reading.error == "GPU 1: GPU is lost"
    assert [gpu["index"] for gpu in reading.gpus] == [0, 1, 2]
    assert [gpu["health"] for gpu in reading.gpus] == [None, "lost", None]
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
    assert (processes[0]["elapsed_s"] or -1) >= 0
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
