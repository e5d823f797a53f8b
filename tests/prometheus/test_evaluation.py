"""A selection over series, moment by moment."""

from __future__ import annotations

from typing import Any

from dpl_site.history import Series
from dpl_site.prometheus.evaluation import evaluate
from dpl_site.prometheus.promql import read_query
from dpl_site.prometheus.ranges import Range

NAMES = {1: "n1", 2: "n2"}


def line(node_id: int, *values: float | None, subject: str = "", resolution_s: int = 10) -> Series:
    """A point every ten seconds; None is a gap."""
    points = [(at * 10_000, value) for at, value in enumerate(values) if value is not None]
    return Series(node_id, subject, resolution_s * 1000, points)


def matrix(query: str, *series: Series, end_s: float = 40.0, step_s: float = 10.0) -> list[dict[str, Any]]:
    return evaluate(read_query(query), Range(query, 0.0, end_s, step_s), series, NAMES)


def test_each_series_has_its_labels_and_values_as_texts() -> None:
    assert matrix("dpl_gpu_utilization_ratio", line(1, 50.0, 12.5, subject="0"), end_s=10) == [
        {
            "metric": {"__name__": "dpl_gpu_utilization_ratio", "node": "n1", "gpu": "0"},
            "values": [[0.0, "0.5"], [10.0, "0.125"]],
        }
    ]


def test_whole_numbers_are_written_without_a_point() -> None:
    (one,) = matrix("load1", line(1, 3.0), end_s=0)
    assert one["values"] == [[0.0, "3"]]


def test_a_gap_stays_a_gap() -> None:
    (one,) = matrix("load1", line(1, 1.0, None, None, None, 5.0, resolution_s=2))
    assert one["values"] == [[0.0, "1"], [40.0, "5"]]


def test_one_lost_point_is_no_gap() -> None:
    (one,) = matrix("load1", line(1, 1.0, None, 3.0), end_s=20)
    assert [value for _, value in one["values"]] == ["1", "1", "3"]


def test_a_step_that_is_finer_than_the_history_repeats_its_points() -> None:
    (one,) = matrix("load1", line(1, 1.0, 2.0), end_s=15, step_s=5)
    assert [value for _, value in one["values"]] == ["1", "1", "2", "2"]


def test_a_step_that_is_coarser_takes_the_latest_point() -> None:
    (one,) = matrix("load1", line(1, 1.0, 2.0, 3.0, 4.0), end_s=60, step_s=30)
    assert one["values"] == [[0.0, "1"], [30.0, "4"]]


def test_series_without_a_point_are_left_out() -> None:
    assert matrix("load1", line(1), line(2, 1.0), end_s=0)[0]["metric"]["node"] == "n2"


def test_aggregates_take_what_there_is_at_each_moment() -> None:
    two = (line(1, 1.0, 2.0, resolution_s=1), line(2, 3.0, None, 5.0, resolution_s=1))
    for name, values in {
        "avg": ["2", "2", "5"],
        "max": ["3", "2", "5"],
        "min": ["1", "2", "5"],
        "sum": ["4", "2", "5"],
        "count": ["2", "1", "1"],
    }.items():
        (one,) = matrix(f"{name}(load1)", *two, end_s=20)
        assert (one["metric"], [value for _, value in one["values"]]) == ({}, values)


def test_aggregates_by_a_label_keep_that_label_alone() -> None:
    gpus = (line(1, 10.0, subject="0"), line(1, 30.0, subject="1"), line(2, 5.0, subject="0"))
    found = matrix("max by (node) (gpu_power_w)", *gpus, end_s=0)
    assert found == [
        {"metric": {"node": "n1"}, "values": [[0.0, "30"]]},
        {"metric": {"node": "n2"}, "values": [[0.0, "5"]]},
    ]


def test_matchers_choose_among_gpus() -> None:
    gpus = (line(1, 10.0, subject="0"), line(1, 30.0, subject="1"))
    (one,) = matrix('gpu_power_w{gpu=~"1|2"}', *gpus, end_s=0)
    assert one["metric"]["gpu"] == "1"
