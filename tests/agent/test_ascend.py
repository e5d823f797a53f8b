"""Ascend's table in all its forms: columns that differ, cells that are empty, tables that are cut or full of noise."""

from __future__ import annotations

import os
import random

import pytest

from agent.gpus import GpuAbsentError, GpuUnavailableError
from agent.gpus.ascend import AscendNpus
from agent.gpus.npu_table import Process, parse

MIB = 1 << 20

HBM = """\
+------------------------------------------------------------------------------------------------+
| npu-smi 24.1.9                   Version: 24.1.9                                               |
+---------------------------+---------------+----------------------------------------------------+
| NPU   Name                | Health        | Power(W)    Temp(C)           Hugepages-Usage(page)|
| Chip                      | Bus-Id        | AICore(%)   Memory-Usage(MB)  HBM-Usage(MB)        |
+===========================+===============+====================================================+
| 3     910B9               | OK            | 301.5       57                0    / 0             |
| 0                         | 0000:A1:00.0  | 83          0    / 0          61440/ 65536         |
+===========================+===============+====================================================+
| 12    910B9               | Warning       | 95.2        41                0    / 0             |
| 0                         | 0000:A2:00.0  | 0           0    / 0          3380 / 65536         |
+===========================+===============+====================================================+
+---------------------------+---------------+----------------------------------------------------+
| NPU     Chip              | Process id    | Process name             | Process memory(MB)      |
+===========================+===============+====================================================+
| 3       0                 | {pid}       | python3                  | 58000                   |
| 3       0                 | 4194399       |                          | 1200                    |
+===========================+===============+====================================================+
| No running processes found in NPU 12                                                           |
+===========================+===============+====================================================+
"""
TWO_CHIPS = """\
+------------------------------------------------------------------------------------------------------------------+
| npu-smi 26.0.7                              Version: 26.0.7                                                      |
+---------------------------+---------------+----------------------------------------------------------------------+
| NPU   Name                | Health        | Power(W)             Temp(C)                 Hugepages-Usage(page)   |
| Chip  Phy-ID              | Bus-Id        | AICore(%)            Memory-Usage(MB)        HBM-Usage(MB)           |
+===========================+===============+======================================================================+
| 4     Ascend910           | OK            | 171.4                38                      0    / 0                |
| 0     8                   | 0000:9D:00.0  | 40                   0    / 0                40100/ 65536            |
+------------------------------------------------------------------------------------------------------------------+
| 4     Ascend910           | Alarm         | -                    37                      0    / 0                |
| 1     9                   | 0000:9F:00.0  | 60                   0    / 0                40200/ 65536            |
+===========================+===============+======================================================================+
+---------------------------+---------------+----------------------------------------------------------------------+
| NPU     Chip              | Process id    | Process name       | Process memory(MB)    | Process id in container |
+===========================+===============+======================================================================+
| 4       0                 | 4194400       | python3.1          | 39000                 | NA                      |
| 4       1                 | 4194400       | python3.1          | 39100                 | 17                      |
+===========================+===============+======================================================================+
"""
NO_HBM = """\
+--------------------------------------------------------------------------------------------------------+
| npu-smi 25.2.9                                   Version: 25.2.9                                       |
+-------------------------------+-----------------+------------------------------------------------------+
| NPU     Name                  | Health          | Power(W)     Temp(C)           Hugepages-Usage(page) |
| Chip    Device                | Bus-Id          | AICore(%)    Memory-Usage(MB)                        |
+===============================+=================+======================================================+
| 1       310P9                 | OK              | NA           47                15    / 15            |
| 0       0                     | 0000:01:00.0    | 12           1530 / 44280                            |
+-------------------------------+-----------------+------------------------------------------------------+
| 1       310P9                 | Critical        | NA           44                0     / 0             |
| 1       1                     | 0000:01:00.0    | 0            1411 / 43693                            |
+===============================+=================+======================================================+
"""
OWN_ID_COLUMN = """\
+--------+------------------+---------------+----------------------------------------------------------------------+
| NPU ID | Name             | Health        | Power(W)              Temp(C)                  Hugepages-Usage(page) |
|        |                  | Bus-Id        | NPU Util(%)           Memory-Usage(MB)         HBM-Usage(MB)         |
+========+==================+===============+======================================================================+
| 6      | Ascend950XX      | UNKNOWN       | 398.6                 46                       0     / 0             |
|        |                  | NA            | 42                    0     / 0                4765  / 98304         |
+===========================+===============+======================================================================+
"""
WITH_MEMORY_OF_BOTH_KINDS = """\
| NPU   Name           | Health        | Power(W)    Temp(C)           Hugepages-Usage(page)|
| Chip                 | Bus-Id        | AICore(%)   Memory-Usage(MB)  HBM-Usage(MB)        |
+======================+===============+====================================================+
| 2     910            | OK            | 64.4        51                15   / 15            |
| 0                    | 0000:01:00.0  | 0           1873 / 15077      7    / 32768         |
"""
TABLES = (HBM.format(pid=4194398), TWO_CHIPS, NO_HBM, OWN_ID_COLUMN, WITH_MEMORY_OF_BOTH_KINDS)


def npus(text: str) -> AscendNpus:
    return AscendNpus(run=lambda command: text)


def test_it_reads_every_chip_and_who_holds_it() -> None:
    reading = npus(HBM.format(pid=os.getpid())).read()
    assert reading.error is None
    first, second = reading.gpus
    processes = first["processes"]
    assert {name: value for name, value in first.items() if value not in (None, [], processes)} == {
        "index": 0,
        "name": "910B9",
        "vendor": "ascend",
        "utilization_percent": 83.0,
        "memory_total_bytes": 65536 * MIB,
        "memory_used_bytes": 61440 * MIB,
        "temperature_c": 57.0,
        "power_w": 301.5,
        "health": "OK",
    }
    assert [(one["pid"], one["memory_bytes"]) for one in processes] == [
        (os.getpid(), 58000 * MIB),
        (4194399, 1200 * MIB),
    ]
    assert "pytest" in (processes[0]["command"] or "")
    assert processes[0]["user"]
    assert processes[1]["name"] is None
    assert (second["health"], second["processes"]) == ("Warning", [])


def test_a_card_of_two_chips_is_two_gpus_with_their_own_processes() -> None:
    first, second = npus(TWO_CHIPS).read().gpus
    assert (first["power_w"], second["power_w"], second["health"]) == (171.4, None, "Alarm")
    assert (first["utilization_percent"], second["utilization_percent"]) == (40.0, 60.0)
    assert [one["memory_bytes"] for one in first["processes"]] == [39000 * MIB]
    (process,) = second["processes"]
    assert (process["pid"], process["name"], process["memory_bytes"]) == (4194400, "python3.1", 39100 * MIB)


def test_a_chip_without_hbm_has_its_other_memory() -> None:
    first, second = npus(NO_HBM).read().gpus
    assert (first["memory_used_bytes"], first["memory_total_bytes"]) == (1530 * MIB, 44280 * MIB)
    assert (first["power_w"], first["temperature_c"], second["health"]) == (None, 47.0, "Critical")


def test_a_table_with_the_id_in_a_column_of_its_own_is_understood() -> None:
    (chip,) = parse(OWN_ID_COLUMN).chips
    assert (chip.npu, chip.chip, chip.name, chip.health, chip.bus) == (6, 0, "Ascend950XX", "Unknown", None)
    assert (chip.utilization_percent, chip.memory_used_bytes) == (42.0, 4765 * MIB)


def test_where_there_is_hbm_it_is_the_chips_memory() -> None:
    (chip,) = parse(WITH_MEMORY_OF_BOTH_KINDS).chips
    assert (chip.memory_used_bytes, chip.memory_total_bytes) == (7 * MIB, 32768 * MIB)
    (chip,) = parse(WITH_MEMORY_OF_BOTH_KINDS.replace("7    / 32768", "0    / 0    ")).chips
    assert (chip.memory_used_bytes, chip.memory_total_bytes) == (1873 * MIB, 15077 * MIB)


@pytest.mark.parametrize("table", TABLES)
def test_a_table_that_is_cut_anywhere_gives_its_whole_chips_and_no_wrong_figure(table: str) -> None:
    whole = {(chip.npu, chip.chip): chip for chip in parse(table).chips}
    for length in range(0, len(table), 7):
        lines = table[:length].splitlines()
        # The last line is cut as well; what it still says may be a part of a number only.
        for chip in parse("\n".join(lines[:-1])).chips:
            assert chip == whole[chip.npu, chip.chip]
        parse(table[:length])


def test_a_row_that_makes_no_sense_is_counted_and_costs_no_other() -> None:
    damaged = HBM.format(pid=1).replace("| 3     910B9 ", "| x     910B9 ")
    reading = npus(damaged).read()
    assert [gpu["health"] for gpu in reading.gpus] == ["Warning"]
    assert reading.error == "1 rows of npu-smi make no sense"
    lost = [line for line in TWO_CHIPS.splitlines() if "0000:9D" not in line]
    reading = npus("\n".join(lost)).read()
    assert [gpu["health"] for gpu in reading.gpus] == ["Alarm"]
    assert reading.error == "1 rows of npu-smi make no sense"


@pytest.mark.parametrize("cell", ["-", "NA", "", "N/A", "-3", "1e9", "nan", "9" * 30])
def test_a_cell_that_is_no_number_is_unknown(cell: str) -> None:
    (chip, *_) = parse(HBM.format(pid=1).replace("301.5", cell.ljust(5)).replace("| 83 ", f"| {cell} ")).chips
    assert chip.power_w is None or not cell
    assert chip.utilization_percent is None or not cell
    assert chip.memory_total_bytes == 65536 * MIB


def test_a_missing_memory_column_is_unknown() -> None:
    (chip, *_) = parse(HBM.format(pid=1).replace("61440/ 65536", "            ")).chips
    assert (chip.memory_used_bytes, chip.memory_total_bytes, chip.utilization_percent) == (None, None, 83.0)


def test_process_rows_that_make_no_sense_are_left_out() -> None:
    rows = "| 3 0 | 7x | a | 5 |\n| 3 0 | 7 | a |\n| 3 0 | 9 | - | - |\n| | 9 | b | 5 |"
    table = parse("| NPU Chip | Process id | Process name | Process memory(MB) |\n" + rows)
    assert (table.processes, table.unread) == ([Process(3, 0, 9, None, None)], 3)


def test_noise_is_no_table() -> None:
    dice = random.Random(7)
    for _ in range(200):
        noise = "".join(dice.choice("|+-=/ \n0919OKNAalarm\x00\xff：") for _ in range(400))
        table = parse(noise)
        assert all(chip.npu >= 0 for chip in table.chips)


@pytest.mark.parametrize(
    "text", ["", "This device does not support querying.", "dcmi module initialize failed"]
)
def test_an_answer_without_a_table_is_unavailable(text: str) -> None:
    with pytest.raises(GpuUnavailableError, match="shows no NPU"):
        npus(text).read()


def test_a_machine_without_the_tool_has_none() -> None:
    with pytest.raises(GpuAbsentError, match="no Ascend driver"):
        AscendNpus().read()
