"""GET /api/v1/nodes/{id}/metrics/: curves over HTTP."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.test import Client

from dpl_site.lib.db import now_ms
from nodes.answers import parse_status
from nodes.history import Told, record_readings
from nodes.last_told import last_told
from nodes.models import Node
from tests.nodes.told import STATUS

pytestmark = pytest.mark.django_db


@pytest.fixture
def fast(db: None) -> Iterator[Node]:
    last_told.forget_all()
    node = Node.objects.create(name="fast")
    for age_s in (50, 30):
        status = parse_status(json.dumps(STATUS | {"sampled_at": None}).encode())
        record_readings(told=[Told(node.id, now_ms() - age_s * 1000, status)])
    yield node
    last_told.forget_all()


@pytest.fixture
def ask(api: Callable[[str], Client], fast: Node) -> Callable[..., Any]:
    def asked(query: str, *, who: str = "vera", node: int | None = None, status: int = 200) -> Any:
        answer = api(who).get(f"/api/v1/nodes/{node or fast.id}/metrics/?{query}")
        assert answer.status_code == status, answer.content
        return answer.json()

    return asked


def test_one_metric_has_the_shape_of_the_contract(ask: Callable[..., Any]) -> None:
    found = ask("metric=cpu_percent&from=-1m&step=10")
    assert list(found) == ["metric", "unit", "step_s", "from", "to", "series"]
    assert (found["metric"], found["unit"], found["step_s"]) == ("cpu_percent", "percent", 10)
    (curve,) = found["series"]
    assert curve["subject"] == ""
    assert len(curve["t"]) == len(curve["mean"]) == len(curve["min"]) == len(curve["max"]) == 7
    assert [value for value in curve["mean"] if value is not None] == [12.5, 12.5]
    assert None in curve["mean"], "a gap is null"


def test_several_metrics_come_in_a_list_and_each_gpu_and_filesystem_has_its_curve(
    ask: Callable[..., Any],
) -> None:
    found = ask("metric=gpu_power_w&metric=filesystem_percent&metric=cpu_temperature_c")["metrics"]
    assert [(one["metric"], [curve["subject"] for curve in one["series"]]) for one in found] == [
        ("gpu_power_w", ["0"]),
        ("filesystem_percent", ["/"]),
        ("cpu_temperature_c", []),
    ]


def test_only_the_subjects_that_are_asked_for(ask: Callable[..., Any]) -> None:
    assert ask("metric=gpu_power_w&subject=1")["series"] == []


def test_a_step_is_longer_where_only_coarser_points_are_kept(ask: Callable[..., Any]) -> None:
    assert ask("metric=cpu_percent&from=-3d&to=-70h&step=60")["step_s"] == 600


@pytest.mark.parametrize(
    "query", ["", "metric=x", "metric=cpu_percent&from=x", "metric=cpu_percent&from=-365d&step=1"]
)
def test_a_bad_question_is_told_so(ask: Callable[..., Any], query: str) -> None:
    assert ask(query, status=400)["error"]["detail"]


def test_a_node_that_there_is_not_is_404(ask: Callable[..., Any]) -> None:
    ask("metric=cpu_percent", node=999_999, status=404)


def test_it_takes_the_right_to_read(ask: Callable[..., Any]) -> None:
    ask("metric=cpu_percent", who="", status=401)
