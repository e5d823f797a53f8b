"""The command: what it says of an installation, how it looks, and what it ends with."""

from __future__ import annotations

import io
import json
import re
import threading
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError
from pytest_django import Settings
from rich.console import Console

from dpl_site.healthcheck import installation, rounds
from dpl_site.healthcheck.results import Result, Round, State, failed, ok, skipped, warning
from dpl_site.healthcheck.showing import lines, showing
from dpl_site.management.commands import healthcheck
from inference.models import Engine
from nodes.instances import register
from nodes.leadership import campaign
from nodes.models import Node
from tests.datasets.making import an_engine
from tests.machines import dead_url, engine

AT = "2026-11-21T10:00:00.000Z"


@pytest.fixture(autouse=True)
def _no_tailscale(monkeypatch: pytest.MonkeyPatch) -> None:
    async def absent(*, is_needed: bool) -> Result:
        return skipped("tailscale", f"needed: {is_needed}")

    monkeypatch.setattr(rounds, "check_tailscale", absent)


def run(*flags: str) -> int:
    """Run the command; what it ends with."""
    with pytest.raises(SystemExit) as ended:
        call_command("healthcheck", *flags)
    return int(ended.value.code or 0)


def told(capsys: pytest.CaptureFixture[str], *flags: str) -> tuple[int, dict[str, dict[str, Any]]]:
    """Its exit code, and its results by check."""
    code = run("--json", *flags)
    report = json.loads(capsys.readouterr().out)
    assert report["ok"] == (code == 0)
    return code, {one["check"]: one for one in report["checks"]}


def start() -> None:
    """All processes live."""
    campaign(name="controller", instance_id=register(kind="controller").id)
    register(kind="worker")
    register(kind="web")


@pytest.mark.django_db(transaction=True)
def test_an_installation_that_runs_is_well(capsys: pytest.CaptureFixture[str]) -> None:
    start()
    with engine(preload=True, models=("m",)) as url:
        an_engine("n1", url)
        code, found = told(capsys)
    states = {check: one["state"] for check, one in found.items()}
    engine_id = Engine.objects.get().id
    assert code == 0
    assert states == {
        "database": "ok",
        "web": "ok",
        "controller": "ok",
        "worker": "ok",
        "disk": "ok",
        "tailscale": "skipped",
        "agent of n1": "skipped",
        f"engine {engine_id} of n1": "ok",
    }


@pytest.mark.django_db(transaction=True)
def test_an_installation_that_does_not_run_says_so_and_how_to_start_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, found = told(capsys)
    assert code == 1
    for kind in ("web", "controller", "worker"):
        assert (found[kind]["state"], "manage.py up" in found[kind]["message"]) == ("failed", True)


@pytest.mark.django_db(transaction=True)
def test_one_process_that_is_missing_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    start()
    register(kind="web")
    from nodes.models import ProcessInstance

    ProcessInstance.objects.filter(kind="worker").update(expires_ms=0)
    code, found = told(capsys)
    assert (code, found["worker"]["state"], found["controller"]["state"]) == (1, "failed", "ok")
    assert found["web"]["message"] == "2 running"


@pytest.mark.django_db(transaction=True)
def test_an_agent_that_is_away_fails_the_round(capsys: pytest.CaptureFixture[str]) -> None:
    start()
    Node.objects.create(name="n1", monitor_base_url=dead_url(), agent_token="t")
    code, found = told(capsys)
    assert (code, found["agent of n1"]["state"]) == (1, "failed")


@pytest.mark.django_db(transaction=True)
def test_warnings_fail_only_where_that_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    start()
    with engine() as url:
        an_engine("n1", url)
        assert told(capsys)[0] == 0
        assert run("--strict", "--json") == 1
        capsys.readouterr()
        assert told(capsys, "--load")[0] == 0


@pytest.mark.django_db(transaction=True)
def test_nodes_on_a_tailnet_need_tailscale(capsys: pytest.CaptureFixture[str]) -> None:
    assert told(capsys)[1]["tailscale"]["message"] == "needed: False"
    engine = Engine(node=Node.objects.create(name="n1"), base_url="http://100.90.1.2:1", is_enabled=False)
    engine.save()
    assert told(capsys)[1]["tailscale"]["message"] == "needed: True"


@pytest.mark.django_db(transaction=True)
def test_a_database_that_is_away_is_a_failure_and_the_rest_is_not_guessed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def away() -> None:
        raise OperationalError("connection refused")

    monkeypatch.setattr(installation, "read_schema", away)
    code, found = told(capsys)
    assert (code, found["database"]["message"], found["worker"]["state"]) == (
        1,
        "connection refused",
        "skipped",
    )
    assert found["disk"]["state"] == "ok"


def test_a_database_that_hangs_keeps_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = threading.Event()
    monkeypatch.setattr(installation, "WITHIN_S", 0.05)
    monkeypatch.setattr(installation, "_look", lambda: ended.wait(30))
    seen = installation.look()
    ended.set()
    assert (seen.results[0].state, "did not answer" in seen.results[0].message) == (State.FAILED, True)


def test_little_disk_space_is_a_failure(settings: Settings) -> None:
    settings.DPL_MIN_FREE_DISK_MB = 10**9
    assert installation.check_disk().state is State.FAILED


def test_continuous_goes_on_until_it_is_interrupted_and_ends_as_its_last_round(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    results = iter([ok("a"), ok("a"), failed("a", "gone")])
    waits: list[float] = []

    def rest(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(healthcheck, "check_all", lambda may_load: Round(AT, [next(results)]))
    monkeypatch.setattr("dpl_site.management.commands.healthcheck.time.sleep", rest)
    assert run("-c", "-i", "30", "--json") == 1
    reports = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [report["ok"] for report in reports] == [True, True, False]
    assert all(29 < seconds <= 30 for seconds in waits)


@pytest.mark.parametrize("seconds", ["0", "-5", "nan", "inf", "soon", "99999999"])
def test_an_interval_that_cannot_be_is_refused(seconds: str) -> None:
    with pytest.raises(CommandError, match="seconds from 1"):
        call_command("healthcheck", "-i", seconds)


ROUND = Round(
    AT,
    [ok("database", "sqlite", 0.01), warning("a\nb", "[red]x[/red]\ny"), failed("c", "d"), skipped("e", "f")],
)


def test_in_a_log_each_check_is_one_line() -> None:
    out = io.StringIO()
    showing(Console(file=out, width=20), is_json=False)(ROUND)
    assert out.getvalue().splitlines() == lines(ROUND)
    assert lines(ROUND)[1] == f"{AT} WARNING a b: [red]x[/red] y"


def test_on_a_terminal_it_is_a_table_in_colour_whose_texts_stay_texts() -> None:
    out = io.StringIO()
    showing(Console(file=out, width=120, force_terminal=True, color_system="standard"), is_json=False)(ROUND)
    assert "\x1b[32m" in out.getvalue()
    plain = re.sub(r"\x1b\[[0-9;]*m", "", out.getvalue())
    assert "[red]x[/red]" in plain
    assert "1 ok, 1 warning, 1 failed, 1 skipped" in plain
