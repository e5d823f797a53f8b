"""The Grafana dashboard and the documentation name metrics that there are, and all of them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import PurePosixPath
from typing import Any

import pytest

from dpl_site.metrics import registry
from tests.architecture.tree import ROOT, text

pytestmark = pytest.mark.django_db
NAME = r"\bdpl_[a-z0-9_]+"
DOCUMENTED = PurePosixPath("docs/monitoring.md")


@cache
def dashboard() -> dict[str, Any]:
    """The file as Grafana imports it."""
    found: dict[str, Any] = json.loads((ROOT / "deploy/grafana-dashboard.json").read_text(encoding="utf-8"))
    return found


def families() -> dict[str, str]:
    """Family → its kind."""
    return {family.name: family.type for family in registry().collect()}


def known() -> set[str]:
    """The names of samples that a scrape may hold, as expressions name them."""
    ends = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}
    return {f"{name}{end}" for name, kind in families().items() for end in ends.get(kind, ("",))}


def expressions() -> Iterator[str]:
    """Every query of the dashboard."""
    for panel in dashboard()["panels"]:
        yield from (target["expr"] for target in panel.get("targets", ()))
    for variable in dashboard()["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["definition"]


def test_every_metric_of_the_dashboard_is_told() -> None:
    named = {name for expression in expressions() for name in re.findall(NAME, expression)}
    assert len(named) > 30
    assert not named - known()


def test_every_panel_asks_something_of_the_chosen_source() -> None:
    panels = [panel for panel in dashboard()["panels"] if panel["type"] != "row"]
    assert all(panel["targets"] and panel["datasource"]["uid"] == "${datasource}" for panel in panels)
    assert len({panel["id"] for panel in dashboard()["panels"]}) == len(dashboard()["panels"])


@pytest.mark.parametrize("subject", ["dpl_node_", "dpl_gpu_", "dpl_gateway_", "dpl_job", "dpl_alerts"])
def test_fleet_gpus_gateway_jobs_and_alerts_are_shown(subject: str) -> None:
    assert any(subject in expression for expression in expressions())


def test_panels_do_not_lie_over_each_other() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard()["panels"]:
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert at["x"] + at["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells


def test_every_metric_is_documented_and_every_documented_one_is_told() -> None:
    section = text(DOCUMENTED).partition("## Prometheus and Grafana")[2].partition("\n## ")[0]
    rows = "\n".join(line for line in section.splitlines() if line.startswith("|"))
    written = {name.removesuffix("_total") for name in re.findall(NAME, rows)}
    assert written == set(families())
