"""The reading for others: Prometheus' text, FlowLine's JSON, and the pages that may read them."""

from __future__ import annotations

import re
from typing import Any

import pytest

from agent.application import Application, Reply, Request
from agent.exposition import exposition
from agent.flowline import info_payload
from agent.gpus import GpuReading
from agent.gpus.rows import unknown_gpu
from agent.identity import Identity
from agent.machine import MachineReading
from agent.payloads import GpuPayload, StatusPayload
from agent.sampling import Board
from tests.agent.talk import ask
from tests.machines import agent

GIB, MIB = 1 << 30, 1 << 20
ORIGIN = "http://10.0.0.9:8000"


def busy_gpu(**changes: Any) -> GpuPayload:
    row: GpuPayload = {
        **unknown_gpu("nvidia"),
        "name": 'A "100"\n',
        "utilization_percent": 45.4,
        "memory_total_bytes": 24 * GIB,
        "memory_used_bytes": 6 * GIB,
        "temperature_c": 65.2,
        "power_w": 180.52,
        "power_limit_w": 350.0,
        "throttle_reasons": ["power_cap", "hw_thermal"],
        "ecc_errors": {"corrected": 3, "uncorrected": None},
        "processes": [
            {
                "pid": 7,
                "name": "python",
                "user": "ada",
                "container": "job-1",
                "started_at": "2026-11-21T09:00:00.000Z",
                "elapsed_s": 93784.5,
                "memory_bytes": 512 * MIB + 1,
                "command": "python train.py --token ********",
            }
        ],
    }
    row.update(changes)  # type: ignore[typeddict-item]  # the tests name fields of it
    return row


def application(*gpus: GpuPayload, **options: Any) -> Application:
    board = Board()
    board.machine = MachineReading(
        cpu_percent=12.5,
        per_core=(0.0, 25.0),
        memory={"total_bytes": 128 * GIB, "used_bytes": 45 * GIB + GIB // 4, "percent": 35.4},
        swap={"total_bytes": 16 * GIB, "used_bytes": 2 * GIB, "percent": 12.5},
    )
    board.gpus = GpuReading(gpus)
    identity = Identity(hostname="box", os="Linux", boot_id="1", cpu_model="CPU", logical_cores=28)
    return Application(identity=identity, board=board, token=options.pop("token", None), **options)


def status(*gpus: GpuPayload) -> StatusPayload:
    return application(*gpus).status()


LINE = re.compile(
    r"(?:# (?:HELP|TYPE) [a-z_0-9]+ .+"
    r'|[a-z_][a-z_0-9]*(?:\{[a-z_]+="(?:[^"\\\n]|\\["\\n])*"(?:,[a-z_]+="(?:[^"\\\n]|\\["\\n])*")*\})? -?[0-9.e+-]+)'
)


def test_every_line_is_prometheus_text_and_each_family_stands_together() -> None:
    lines = exposition(status(busy_gpu(), busy_gpu(index=1))).splitlines()
    assert not [line for line in lines if not LINE.fullmatch(line)]
    typed = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    assert len(typed) == len(set(typed))
    current = ""
    for line in lines:
        if line.startswith("# TYPE"):
            current = line.split()[2]
        elif not line.startswith("#"):
            assert re.split(r"[{ ]", line)[0] == current


def test_figures_have_their_names_units_and_labels() -> None:
    text = exposition(status(busy_gpu()))
    for line in (
        "dpl_agent_cpu_percent 12.5",
        'dpl_agent_cpu_core_percent{core="1"} 25.0',
        f"dpl_agent_memory_used_bytes {45 * GIB + GIB // 4}",
        'dpl_agent_gpu_utilization_percent{gpu="0"} 45.4',
        'dpl_agent_gpu_memory_percent{gpu="0"} 25.0',
        'dpl_agent_gpu_throttled{gpu="0",reason="hw_thermal"} 1',
        'dpl_agent_gpu_ecc_errors{gpu="0",kind="corrected"} 3',
        r'dpl_agent_gpu_info{gpu="0",vendor="nvidia",name="A \"100\"\n",uuid=""} 1',
        "dpl_agent_locked 0",
    ):
        assert line in text.splitlines()
    assert 'gpu_process_memory_bytes{gpu="0",pid="7",name="python",user="ada",container="job-1"}' in text


def test_what_is_unknown_is_left_out() -> None:
    text = exposition(status(unknown_gpu("amd")))
    assert "net_rx_mbps" not in text
    assert "gpu_temperature_c" not in text
    assert "uncorrected" not in exposition(status(busy_gpu()))
    assert "None" not in text


def test_info_has_flowlines_fields_and_units() -> None:
    info = info_payload(status(busy_gpu()), 1706000000.0)
    assert info["timestamp"] == 1706000000.0
    assert info["system"] == {
        "hostname": "box",
        "os": "Linux",
        "cpu_model": "CPU",
        "cpu_cores": 28,
        "cpu_usage": 12.5,
        "cpu_temperature": {"package": None},
        "memory": {"total": 128.0, "used": 45.25, "percent": 35.4, "available": 82.75},
        "swap": {"total": 16.0, "used": 2.0, "percent": 12.5, "free": 14.0},
    }
    (gpu,) = info["gpus"]
    (process,) = gpu.pop("processes")
    assert gpu == {
        "id": 0,
        "name": 'A "100"\n',
        "memory": {"total": 24576.0, "used": 6144.0, "free": 18432.0},
        "utilization": 45,
        "temperature": 65,
        "power": {"current": 180.5, "max": 350.0},
    }
    assert isinstance(gpu["utilization"], int)
    assert isinstance(gpu["temperature"], int)
    assert re.fullmatch(r"\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d 2026", process.pop("start_time"))
    assert process == {
        "pid": 7,
        "name": "python",
        "username": "job-1",
        "elapsed_time": "1-02:03:04",
        "memory_mb": 512.0,
        "cmdline": "python train.py --token ********",
    }


@pytest.mark.parametrize(
    ("seconds", "written"), [(5.9, "00:05"), (65, "01:05"), (3661, "01:01:01"), (86400, "1-00:00:00")]
)
def test_a_duration_is_written_as_ps_does(seconds: float, written: str) -> None:
    gpu = busy_gpu()
    gpu["processes"][0]["elapsed_s"] = seconds
    assert info_payload(status(gpu), 0.0)["gpus"][0]["processes"][0]["elapsed_time"] == written


def test_what_a_gpu_does_not_tell_is_what_flowline_writes_then() -> None:
    (gpu,) = info_payload(status(unknown_gpu("amd")), 0.0)["gpus"]
    assert (gpu["power"], gpu["utilization"], gpu["name"]) == ({"current": 0.0, "max": 0.0}, 0, "Unknown")


def test_both_are_served_and_want_the_token() -> None:
    with agent(token="s3cret") as node:
        for path, kind in (("/metrics", "text/plain; version=0.0.4"), ("/api/info", "application/json")):
            assert ask(node.url, path).status == 401
            answer = ask(node.url, path, headers={"Authorization": "Bearer s3cret"})
            assert (answer.status, answer.headers["content-type"].startswith(kind)) == (200, True)


def asked(node: Application, method: str, path: str, **more: str) -> Reply:
    known: dict[str, Any] = {"caller": "10.0.0.5", "authorization": "", "host": "box:8001", "origin": ORIGIN}
    return node.answer(Request(method=method, path=path, **(known | more)))


def test_pages_are_told_nothing_unless_their_origin_is_listed() -> None:
    closed = application(token="t")
    assert "Access-Control-Allow-Origin" not in asked(closed, "GET", "/status").headers
    assert asked(closed, "OPTIONS", "/status").status in {401, 405}
    listed = application(token="t", cors_origins=frozenset({ORIGIN}))
    preflight = asked(listed, "OPTIONS", "/status")
    assert (preflight.status, preflight.text) == (204, "")
    assert preflight.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert preflight.headers["Access-Control-Allow-Methods"] == "GET, HEAD"
    assert "Authorization" in preflight.headers["Access-Control-Allow-Headers"]
    answer = asked(listed, "GET", "/api/info", authorization="Bearer t")
    assert (answer.status, answer.headers["Access-Control-Allow-Origin"]) == (200, ORIGIN)
    assert asked(listed, "GET", "/api/info").status == 401
    other = asked(listed, "GET", "/status", origin="http://evil.example")
    assert "Access-Control-Allow-Origin" not in other.headers


def test_a_listed_page_reads_an_agent_without_a_token_but_locks_nothing() -> None:
    listed = application(cors_origins=frozenset({ORIGIN}))
    assert asked(listed, "GET", "/api/info", host="127.0.0.1:8001").status == 200
    assert asked(listed, "POST", "/lock", host="127.0.0.1:8001").status == 403
    assert asked(listed, "GET", "/status", origin="http://evil.example", host="127.0.0.1:8001").status == 403
