"""Apple's GPU: what everybody may read, what root may, and what is left where neither can be asked."""

from __future__ import annotations

from collections.abc import Sequence

import psutil
import pytest

from agent.gpus import GpuAbsentError, GpuUnavailableError
from agent.gpus.apple import AppleGpus, Power, parse_ioreg, parse_powermetrics

IOREG = """\
+-o AGXAcceleratorG99X  <class AGXAcceleratorG99X, id 0x100000999, registered, matched, active, busy 0, retain 9>
    {
      "model" = "Apple M9 Max"
      "gpu-core-count" = 40
      "PerformanceStatistics" = {"In use system memory (driver)"=0,"Alloc system memory"=9000000000,\
"Renderer Utilization %"=21,"Device Utilization %"=64,"In use system memory"=6442450944}
    }
"""
POWER = """\
Machine model: Mac99,1

*** Sampled system activity (502.26ms elapsed) ***

**** GPU usage ****

GPU HW active frequency: 928 MHz
GPU HW active residency:  63.50% (338 MHz:  22% 928 MHz:  41%)
GPU idle residency:  36.50%
GPU Power: 8420 mW

**** Thermal pressure ****

Current pressure level: {level}
"""


def mac(
    answers: dict[str, str | GpuUnavailableError], *, is_root: bool = False, has_torch: bool = False
) -> AppleGpus:
    def run(command: Sequence[str]) -> str:
        answer = answers[command[0]]
        if isinstance(answer, GpuUnavailableError):
            raise answer
        return answer

    return AppleGpus(run, system="darwin", is_root=is_root, has_torch=lambda: has_torch)


def test_everybody_may_read_load_and_memory() -> None:
    reading = mac({"ioreg": IOREG}).read()
    assert reading.error is None
    assert {name: value for name, value in reading.gpus[0].items() if value not in (None, [])} == {
        "index": 0,
        "name": "Apple M9 Max (40 GPU cores)",
        "vendor": "apple",
        "utilization_percent": 64.0,
        "memory_total_bytes": psutil.virtual_memory().total,
        "memory_used_bytes": 6442450944,
    }


@pytest.mark.parametrize(("level", "reasons"), [("Nominal", []), ("Heavy", ["thermal pressure heavy"])])
def test_root_reads_power_clock_and_pressure_too(level: str, reasons: list[str]) -> None:
    (gpu,) = mac({"ioreg": IOREG, "powermetrics": POWER.format(level=level)}, is_root=True).read().gpus
    assert (gpu["power_w"], gpu["clock_mhz"], gpu["throttle_reasons"]) == (8.42, 928.0, reasons)


def test_powermetrics_that_fails_leaves_the_rest() -> None:
    refusal = GpuUnavailableError("powermetrics fails with code 1")
    reading = mac({"ioreg": IOREG, "powermetrics": refusal}, is_root=True).read()
    assert (reading.error, reading.gpus[0]["utilization_percent"], reading.gpus[0]["power_w"]) == (
        None,
        64.0,
        None,
    )


def test_where_nothing_may_be_asked_torch_still_tells_that_there_is_one() -> None:
    refusal = GpuUnavailableError("ioreg has not answered within 10 s")
    with pytest.raises(GpuUnavailableError):
        mac({"ioreg": refusal}).read()
    reading = mac({"ioreg": refusal}, has_torch=True).read()
    assert (reading.gpus[0]["name"], reading.gpus[0]["utilization_percent"]) == ("Apple GPU (MPS)", None)
    assert "has not answered" in (reading.error or "")


def test_another_system_has_none() -> None:
    with pytest.raises(GpuAbsentError):
        AppleGpus(system="linux").read()


def test_damaged_output_is_unknown_part_by_part() -> None:
    for length in range(0, len(IOREG), 5):
        for gpu in parse_ioreg(IOREG[:length], 1):
            assert gpu["utilization_percent"] in (None, 64.0, 6.0)
    odd = IOREG.replace('%"=64', '%"=640').replace("=6442450944", "=lots")
    (gpu,) = parse_ioreg(odd, 1)
    assert (gpu["utilization_percent"], gpu["memory_used_bytes"]) == (None, None)
    assert parse_ioreg("\x00\xff noise", 1) == []
    assert parse_powermetrics("GPU Power: x mW\nGPU HW active frequency: MHz") == Power()
    assert parse_powermetrics("") == Power()


def test_older_macs_write_the_model_as_data() -> None:
    (gpu,) = parse_ioreg('+-o X  <class X>\n{\n "model" = <"AMD Radeon Pro 9">\n}\n', 1)
    assert gpu["name"] == "AMD Radeon Pro 9"
