"""Which figures of a reading are kept."""

from __future__ import annotations

import json
from typing import Any

from nodes.answers import parse_status
from nodes.measures import FILESYSTEM, GPU, METRICS, NODE, Figure, figures

TOLD: dict[str, Any] = {
    "agent_version": "1",
    "cpu": {"percent": 12.5, "load1": 0.0, "temperature_c": None},
    "memory": {"total_bytes": 200, "used_bytes": 50, "percent": 25.0},
    "network": {"rx_mbps": 1.5, "tx_mbps": None},
    "gpus": [
        {
            "index": 0,
            "utilization_percent": 0,
            "memory_used_bytes": 30,
            "memory_total_bytes": 40,
            "power_w": 70,
        },
        {"index": 1, "memory_used_bytes": 5, "memory_total_bytes": 0},
        {"index": None, "utilization_percent": 50},
    ],
    "filesystems": [{"mount": "/", "percent": 91.0}, {"mount": None, "percent": 5.0}],
}


def told(**changes: Any) -> dict[Figure, float]:
    return figures(parse_status(json.dumps(TOLD | changes).encode()))


def test_each_figure_that_is_told_is_kept_under_its_name() -> None:
    found = told()
    assert found[Figure("cpu_percent")] == 12.5
    assert found[Figure("memory_used_bytes")] == 50
    assert found[Figure("gpu_memory_percent", "0")] == 75
    assert found[Figure("gpu_power_w", "0")] == 70
    assert found[Figure("filesystem_percent", "/")] == 91


def test_a_zero_is_a_figure_and_what_is_unknown_is_none() -> None:
    found = told()
    assert found[Figure("load1")] == 0
    assert found[Figure("gpu_utilization_percent", "0")] == 0
    assert Figure("cpu_temperature_c") not in found
    assert Figure("net_tx_mbps") not in found
    assert Figure("gpu_memory_percent", "1") not in found


def test_a_gpu_without_an_index_and_a_filesystem_without_a_place_have_no_figures() -> None:
    assert {figure.subject for figure in told()} == {"", "0", "1", "/"}


def test_every_figure_is_of_a_metric_that_there_is_and_of_its_kind() -> None:
    for figure in told():
        kind = NODE if not figure.subject else FILESYSTEM if figure.subject == "/" else GPU
        assert METRICS[figure.metric].per == kind
