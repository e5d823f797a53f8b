"""Reading history: the latest points for whoever watches a figure, and curves of several nodes at once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from dpl_site.lib.db import now_ms
from nodes import history, series
from nodes.answers import parse_status
from nodes.history import Told, record_readings, roll_up
from nodes.last_told import last_told
from nodes.measures import Figure
from nodes.models import HistoryBlock, Node
from nodes.rollups import HOUR_MS, MINUTE_MS
from nodes.series import fleet_window, latest_of, latest_points, window
from tests.nodes.told import STATUS

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _nothing_told() -> Iterator[None]:
    last_told.forget_all()
    yield
    last_told.forget_all()


@pytest.fixture
def now() -> int:
    return now_ms()


def told(node: Node, at_ms: int, cpu: float | None, **changes: Any) -> None:
    status: dict[str, Any] = {**STATUS, "sampled_at": None, "cpu": {"percent": cpu}, **changes}
    record_readings(told=[Told(node.id, at_ms, parse_status(json.dumps(status).encode()))])


def test_the_latest_points_are_the_readings_themselves(fast: Node, slow: Node, now: int) -> None:
    for age_s, cpu in ((90, 1.0), (30, None), (20, 2.0), (10, 3.0)):
        told(fast, now - age_s * 1000, cpu)
    told(slow, now - 5_000, 4.0)
    found = latest_points(node_ids=[fast.id, slow.id], metric="cpu_percent", since_ms=now - MINUTE_MS)
    assert found == {
        fast.id: {"": [(now - 20_000, 2.0), (now - 10_000, 3.0)]},
        slow.id: {"": [(now - 5_000, 4.0)]},
    }


def test_each_gpu_has_its_points_and_a_node_without_any_is_not_there(
    fast: Node, slow: Node, now: int
) -> None:
    gpu = STATUS["gpus"][0]
    told(fast, now - 4_000, 1.0, gpus=[gpu, gpu | {"index": 1, "power_w": 70.0}])
    told(slow, now - 4_000, 1.0, gpus=[])
    found = latest_of(node_ids=[fast.id, slow.id], metrics=["gpu_power_w", "load1"], since_ms=now - MINUTE_MS)
    at = now - 4_000
    assert found == {"gpu_power_w": {fast.id: {"0": [(at, 300.5)], "1": [(at, 70.0)]}}, "load1": {}}


def test_only_the_nodes_that_are_asked_for(fast: Node, slow: Node, now: int) -> None:
    told(fast, now, 1.0)
    assert latest_points(node_ids=[slow.id], metric="cpu_percent", since_ms=now - MINUTE_MS) == {}
    assert latest_points(node_ids=[], metric="cpu_percent", since_ms=now - MINUTE_MS) == {}


def test_a_long_look_back_is_means_and_ends_with_the_readings(
    fast: Node, now: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = now - 3 * HOUR_MS
    old -= old % 10_000
    told(fast, old, 1.0)
    told(fast, old + 2_000, 3.0)
    told(fast, now, 9.0)
    monkeypatch.setattr(history, "now_ms", lambda: now)
    assert roll_up(within_s=10**6)
    HistoryBlock.objects.filter(step_s=0, is_rolled=True).delete()
    found = latest_points(node_ids=[fast.id], metric="cpu_percent", since_ms=now - 4 * HOUR_MS)
    assert found == {fast.id: {"": [(old, 2.0), (now, 9.0)]}}


def test_a_broken_row_is_passed_over_and_said(fast: Node, now: int, caplog: pytest.LogCaptureFixture) -> None:
    told(fast, now - 40_000, 1.0)
    told(fast, now, 2.0)
    HistoryBlock.objects.filter(start_ms__lt=now - 25_000).update(data=b"rubbish")
    found = latest_points(node_ids=[fast.id], metric="cpu_percent", since_ms=now - MINUTE_MS)
    assert found == {fast.id: {"": [(now, 2.0)]}}
    assert "broken" in caplog.text


def test_several_nodes_are_read_at_the_same_times(fast: Node, slow: Node, now: int) -> None:
    start = now - now % 10_000 - MINUTE_MS
    told(fast, start, 1.0)
    told(slow, start + 10_000, 2.0)
    with CaptureQueriesContext(connection) as queries:
        times, found = fleet_window(
            node_ids=[fast.id, slow.id],
            metrics=["cpu_percent"],
            from_ms=start,
            to_ms=start + 20_000,
            step_ms=10_000,
        )
    assert list(times) == [start, start + 10_000]
    cpu = Figure("cpu_percent")
    assert [point and point.mean for point in found[fast.id][cpu]] == [1.0, None]
    assert [point and point.mean for point in found[slow.id][cpu]] == [None, 2.0]
    assert len(queries) <= 3, "whatever the number of nodes"


def test_gpu_ten_comes_after_gpu_nine(fast: Node, now: int) -> None:
    gpu = STATUS["gpus"][0]
    told(fast, now - 2_000, 1.0, gpus=[gpu | {"index": index} for index in (10, 9, 1)])
    (found,) = window(
        node_id=fast.id, metrics=["gpu_power_w"], from_ms=now - MINUTE_MS, to_ms=now, step_ms=1_000
    )
    assert [curve.subject for curve in found.curves] == ["1", "9", "10"]


def test_a_curve_keeps_the_least_and_the_most(fast: Node, now: int) -> None:
    start = now - now % MINUTE_MS - MINUTE_MS
    for second, cpu in enumerate((5.0, 1.0, 9.0)):
        told(fast, start + second * 1000, cpu)
    (found,) = series.window(
        node_id=fast.id, metrics=["cpu_percent"], from_ms=start, to_ms=start + MINUTE_MS, step_ms=MINUTE_MS
    )
    (point,) = found.curves[0].points
    assert point is not None
    assert (point.mean, point.low, point.high, point.readings) == (5.0, 1.0, 9.0, 3)


def test_what_is_rolled_up_is_counted_once(fast: Node, now: int, monkeypatch: pytest.MonkeyPatch) -> None:
    start = now - now % HOUR_MS - HOUR_MS
    for second in (0, 2, 4):
        told(fast, start + second * 1000, 1.0)
    monkeypatch.setattr(history, "now_ms", lambda: now)
    assert roll_up(within_s=10**6)
    (found,) = window(
        node_id=fast.id, metrics=["cpu_percent"], from_ms=start, to_ms=start + MINUTE_MS, step_ms=MINUTE_MS
    )
    assert found.curves[0].points[0] is not None
    assert found.curves[0].points[0].readings == 3
