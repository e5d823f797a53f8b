"""A question for curves: what it may ask, and what a bad one is told."""

from __future__ import annotations

from typing import Any

import pytest

from dpl_site.lib.refusals import Refused
from nodes import asking
from nodes.asking import MOST_POINTS, Wanted, check_size, parse_moment, parse_wanted
from nodes.measures import METRICS
from nodes.rollups import DAY_MS, HOUR_MS

NOW = 1_795_233_600_000


def ask(**changes: Any) -> Wanted:
    asked: dict[str, Any] = {
        "metrics": ["cpu_percent"],
        "subjects": [],
        "from_": None,
        "to": None,
        "step": None,
    }
    return parse_wanted(**(asked | changes), now_ms=NOW, interval_s=2)


def test_without_more_it_is_the_last_hour() -> None:
    assert ask() == Wanted(("cpu_percent",), (), NOW - HOUR_MS, NOW, 10_000)


def test_several_metrics_and_subjects_each_once() -> None:
    found = ask(metrics=["load1,cpu_percent", "load1"], subjects=["0", "1", "0"])
    assert (found.metrics, found.subjects) == (("load1", "cpu_percent"), ("0", "1"))


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("now", NOW),
        ("-90s", NOW - 90_000),
        ("now-1d", NOW - DAY_MS),
        ("1795233600000", NOW),
        ("2026-11-21T04:00:00Z", 1_795_233_600_000),
        ("2026-11-21T05:00:00+01:00", 1_795_233_600_000),
        ("2026-11-21T05:00:00 01:00", 1_795_233_600_000),
        ("2026-11-21T04:00:00", 1_795_233_600_000),
        ("2026-11-21", 1_795_219_200_000),
        ("-999999999d", 0),
    ],
)
def test_a_moment_is_read(text: str, moment: int) -> None:
    assert parse_moment(text, field="from", now_ms=NOW) == moment


@pytest.mark.parametrize(
    "text", ["", "yesterday", "-1y", "+1h", "1e9", "9" * 400, "٣", "0001-01-01T00:00:00+23:59"]
)
def test_what_is_no_moment_is_refused_by_field(text: str) -> None:
    with pytest.raises(Refused) as error:
        parse_moment(text, field="from", now_ms=NOW)
    assert error.value.detail is not None
    assert "from" in error.value.detail


@pytest.mark.parametrize("step", ["0", "-5", "1.5", "x", "0s", "9999d", "5w"])
def test_what_is_no_step_is_refused(step: str) -> None:
    with pytest.raises(Refused, match="step"):
        ask(step=step)


def test_a_step_may_have_a_unit() -> None:
    assert ask(step="5m").step_ms == ask(step="300").step_ms == 300_000


@pytest.mark.parametrize("metrics", [[], [""], ["cpu"], ["cpu_percent", "nonsense"]])
def test_an_unknown_metric_is_refused_with_those_there_are(metrics: list[str]) -> None:
    with pytest.raises(Refused, match="gpu_power_w"):
        ask(metrics=metrics)


def test_not_too_many_metrics_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "MOST_METRICS", 2)
    assert len(ask(metrics=list(METRICS)[:2]).metrics) == 2
    with pytest.raises(Refused, match="at once"):
        ask(metrics=list(METRICS)[:3])


def test_the_end_is_after_the_beginning() -> None:
    with pytest.raises(Refused, match="before"):
        ask(from_="-1h", to="-1h")


def test_a_year_by_the_second_is_refused_with_a_step_that_would_do() -> None:
    with pytest.raises(Refused) as error:
        ask(from_="-365d", step="1")
    assert str(MOST_POINTS) in error.value.message
    step = error.value.message.partition("step of ")[2].partition(" ")[0]
    assert ask(from_="-365d", step=step).step_ms


def test_an_answer_of_too_many_points_is_refused() -> None:
    check_size(1000)
    with pytest.raises(Refused, match="fewer metrics"):
        check_size(10**7)
