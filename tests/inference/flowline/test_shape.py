"""A reading in FlowLine's fields, units and types."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from inference.flowline.places import Place
from inference.flowline.shape import Slave, slave, uptime
from nodes.answers import parse_status
from tests.inference.flowline import page
from tests.nodes.told import STATUS

PLACE = Place(1, "box1", "10.0.0.5", 8001)
GIB, MIB = 2**30, 2**20


def told(**changes: Any) -> dict[str, Any]:
    status = copy.deepcopy(STATUS)
    status["gpus"][0] |= {"memory_total_bytes": 24 * GIB, "memory_used_bytes": 8 * GIB + MIB // 4}
    status["gpus"][0]["processes"][0] |= {
        "memory_bytes": 512 * MIB,
        "command": "python -u train.py --lr 1 --bs 2",
    }
    return status | changes


def seen(status: dict[str, Any]) -> Slave:
    return slave(PLACE, last_seen=5.0, status=parse_status(json.dumps(status).encode()), error="")


def data(status: dict[str, Any]) -> dict[str, Any]:
    found = seen(status)["data"]
    assert found is not None
    return found


def test_ram_and_swap_are_gib_with_two_decimals() -> None:
    memory = {"total_bytes": 128 * GIB, "used_bytes": int(45.2 * GIB), "percent": 35.34}
    system = data(
        told(memory=memory, swap={"total_bytes": 16 * GIB, "used_bytes": 2 * GIB, "percent": 12.5})
    )["system"]
    assert system["memory"] == {"total": 128.0, "used": 45.2, "available": 82.8, "percent": 35.3}
    assert system["swap"] == {"total": 16.0, "used": 2.0, "free": 14.0, "percent": 12.5}


def test_gpus_are_in_mib_watts_and_whole_percent() -> None:
    (gpu,) = data(told())["gpus"]
    assert gpu["memory"] == {"total": 24576.0, "used": 8192.2, "free": 16383.8}
    assert (gpu["id"], gpu["utilization"], gpu["temperature"]) == (0, 55, 61)
    assert gpu["power"] == {"current": 300.5, "max": 450.0}


def test_a_process_is_told_as_ps_writes_it() -> None:
    (process,) = data(told())["gpus"][0]["processes"]
    assert process == {
        "pid": 7,
        "name": "python",
        "username": "Host Process",
        "start_time": "Sat Nov 21 09:00:00 2026",
        "elapsed_time": "01:00:00",
        "memory_mb": 512.0,
        "cmdline": "python -u train.py --lr 1",
    }


def test_a_process_in_a_container_shows_the_containers_name() -> None:
    status = told()
    status["gpus"][0]["processes"][0] |= {"container": "lab-7", "started_at": "2026-11-02T08:58:57Z"}
    (process,) = data(status)["gpus"][0]["processes"]
    assert process["username"] == "lab-7"
    assert process["start_time"] == "Mon Nov  2 08:58:57 2026"
    assert process["elapsed_time"] == "19-01:01:03"


def test_the_page_reads_every_path_of_a_whole_reading() -> None:
    assert len(page.read(seen(told()))) == 6 + 14 + 9 + 7


def test_the_page_reads_every_path_of_a_reading_that_says_nothing() -> None:
    nothing = {"agent_version": "1", "gpus": [{"processes": [{}]}]}
    found = seen(nothing)
    assert len(page.read(found)) == 6 + 14 + 9 + 7
    assert found["data"] is not None
    assert found["data"]["system"]["cpu_temperature"] == {"package": None}
    assert found["data"]["system"]["hostname"] == "Unknown"
    assert found["data"]["gpus"][0]["power"] == {"current": 0.0, "max": 0.0}


ODD = {"percent": "x", "total_bytes": -1, "model": 7}
NONSENSE: tuple[Any, ...] = (None, True, -1, 1e300, "x", [], [None], [{}], {}, ODD)


@pytest.mark.parametrize("field", sorted(STATUS.keys() - {"agent_version"}))
def test_the_page_can_read_whatever_an_agent_says(field: str) -> None:
    for value in NONSENSE:
        page.read(seen(told(**{field: value})))


@pytest.mark.parametrize("field", sorted(STATUS["gpus"][0]))
def test_the_page_can_read_whatever_an_agent_says_of_a_gpu(field: str) -> None:
    for value in NONSENSE:
        status = told()
        status["gpus"][0][field] = value
        page.read(seen(status))


def test_hostile_names_come_out_harmless_where_the_page_does_not_escape() -> None:
    bad = "<img src=x onerror=alert(1)>"
    status = told(hostname=bad, os=bad)
    status["cpu"]["model"] = bad
    found = slave(
        Place(1, bad, "", 0), last_seen=None, status=parse_status(json.dumps(status).encode()), error=""
    )
    for path in page.NOT_ESCAPED:
        assert not set("<>&\"'") & set(page.at(found, path)), path


def test_one_that_is_away_has_an_error_and_no_data() -> None:
    found = slave(PLACE, last_seen=5.0, status=None, error="nothing listens there")
    assert found == {
        "name": "box1",
        "ip": "10.0.0.5",
        "port": 8001,
        "online": False,
        "error": "nothing listens there",
        "last_seen": 5.0,
        "data": None,
    }
    page.read(found)


def test_an_uptime_is_days_hours_minutes_and_seconds() -> None:
    assert uptime(90_061.9) == {"days": 1, "hours": 1, "minutes": 1, "seconds": 1}
    assert uptime(-5) == {"days": 0, "hours": 0, "minutes": 0, "seconds": 0}
