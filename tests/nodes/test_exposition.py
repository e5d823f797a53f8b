"""The names and units under which Prometheus gets the figures of nodes."""

from __future__ import annotations

import re

import pytest

from nodes.exposition import BY_NAME, EXPOSED, exposed
from nodes.measures import METRICS, Metric


@pytest.mark.parametrize(
    ("metric", "name", "factor"),
    [
        ("cpu_percent", "dpl_node_cpu_ratio", 0.01),
        ("cpu_temperature_c", "dpl_node_cpu_temperature_celsius", 1),
        ("load1", "dpl_node_load1", 1),
        ("memory_used_bytes", "dpl_node_memory_used_bytes", 1),
        ("net_rx_mbps", "dpl_node_net_rx_bytes_per_second", 125_000),
        ("disk_write_mb_s", "dpl_node_disk_write_bytes_per_second", 1_000_000),
        ("gpu_utilization_percent", "dpl_gpu_utilization_ratio", 0.01),
        ("gpu_power_w", "dpl_gpu_power_watts", 1),
        ("filesystem_percent", "dpl_filesystem_ratio", 0.01),
    ],
)
def test_a_figure_is_told_in_a_base_unit(metric: str, name: str, factor: float) -> None:
    assert (EXPOSED[metric].name, EXPOSED[metric].factor) == (name, factor)


def test_a_figure_that_is_added_is_told_by_the_same_rule() -> None:
    assert exposed(Metric("gpu_clock_mhz", "MHz", "gpu")).name == "dpl_gpu_clock_hertz"


def test_the_subject_of_a_figure_is_a_label_of_its_own() -> None:
    assert EXPOSED["cpu_percent"].labels == ("node",)
    assert EXPOSED["gpu_power_w"].labels == ("node", "gpu")
    assert EXPOSED["filesystem_percent"].labels == ("node", "mount")


def test_every_figure_has_a_sound_name_and_none_has_anothers() -> None:
    assert len(BY_NAME) == len(METRICS)
    assert all(re.fullmatch(r"dpl_[a-z0-9_]+", name) for name in BY_NAME)
