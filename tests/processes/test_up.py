"""Whole installations, started and killed as people do it."""

from __future__ import annotations

import json
import re
import signal
import sqlite3
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from dpl_site.processes.ports import free_port
from tests.processes.site_process import SiteProcess, all_gone, descendants
from tests.processes.supervised import wait_until

pytestmark = pytest.mark.slow

Run = Callable[..., SiteProcess]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "data"
    made.mkdir(mode=0o700)
    return made


@pytest.fixture
def run(folder: Path) -> Iterator[Run]:
    """Runs `manage.py …` on a data folder of the test's own."""
    started: list[SiteProcess] = []

    def begin(*words: str, **env: str) -> SiteProcess:
        own = {"DPL_DATA_DIR": str(folder), "DATABASE_URL": f"sqlite:///{folder}/dpl.sqlite3"}
        started.append(SiteProcess(*words, env=own | env))
        return started[-1]

    yield begin
    for process in started:
        process.close()


def get(port: int, path: str, key: str = "") -> dict[str, object]:
    """The JSON at a path."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}")
    if key:
        request.add_header("Authorization", f"Bearer {key}")
    with urllib.request.urlopen(request, timeout=10) as answer:
        found: dict[str, object] = json.load(answer)
        return found


def is_ready(port: int) -> bool:
    """Whether the installation serves."""
    try:
        return bool(get(port, "/ready")["ready"])
    except OSError:
        return False


def test_it_starts_once_survives_its_parent_and_goes_on(run: Run, folder: Path) -> None:
    port = free_port(0)
    first = run("up", "--port", str(port))
    first.say_within(f"URL: http://127.0.0.1:{port}", 40)
    assert len(re.findall(r"^Login: admin / \S{12,}$", first.output, re.M)) == 1
    wait_until(lambda: is_ready(port))
    with closing(sqlite3.connect(folder / "dpl.sqlite3")) as database:
        assert database.execute("SELECT count(*) FROM nodes_node").fetchone() == (1,)

    twice = run("up", "--port", str(free_port(0)))
    assert twice.end(20) == 78
    assert f"runs already from {folder}" in twice.output

    family = descendants(first.pid)
    assert len(family) >= 10
    first.kill()
    second = run("up", "--port", str(port))
    second.say_within("URL: ", 40)
    assert all_gone(family)
    assert "Login:" not in second.output
    wait_until(lambda: is_ready(port))
    with closing(sqlite3.connect(folder / "dpl.sqlite3")) as database:
        assert database.execute("SELECT count(*) FROM nodes_node").fetchone() == (1,)

    family = descendants(second.pid)
    assert second.stop(signal.SIGINT) == 0
    assert all_gone(family)
    ends = [second.output.index(f"{name} ended") for name in ("web", "worker", "controller", "agent")]
    assert ends == sorted(ends)
    assert "Traceback" not in second.output


def test_a_wrong_setting_is_named_and_nothing_starts(run: Run) -> None:
    process = run("up", DPL_PORT="many")
    assert process.end(20) != 0
    assert "DPL_PORT" in process.output


def test_secrets_that_lie_open_stop_the_start(run: Run, folder: Path) -> None:
    (folder / "secret_key").write_text("x" * 60)
    (folder / "secret_key").chmod(0o644)
    process = run("up", "--port", str(free_port(0)))
    assert process.end(20) == 78
    assert "chmod 600" in process.output


def test_of_two_that_start_at_once_on_one_database_one_prepares_it(run: Run, tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        folder.mkdir(mode=0o700)
    both = [run("up", "--port", str(free_port(0)), DPL_DATA_DIR=str(folder)) for folder in folders]
    for process in both:
        process.say_within("URL: ", 60)
    outputs = [process.output for process in both]
    assert sum("Preparing the database" in output for output in outputs) == 1
    assert sum("Login:" in output for output in outputs) == 1
    assert not any("Traceback" in output for output in outputs)


@pytest.mark.e2e
def test_the_demo_shows_three_machines_working_through_the_samples(run: Run, folder: Path) -> None:
    port = free_port(0)
    began = time.monotonic()
    demo = run("demo", "--port", str(port), REDIS_URL="redis://127.0.0.1:1/0")
    demo.say_within("API key: dpl_", 60)
    assert time.monotonic() - began < 30
    lines = [line for line in demo.lines if re.match(r"(URL|Login|API key): ", line)]
    assert lines[0] == f"URL: http://127.0.0.1:{port}"
    assert re.fullmatch(r"Login: admin / \S+", lines[1])
    key = lines[2].removeprefix("API key: ")
    assert (folder / "demo" / "admin-password").stat().st_mode & 0o077 == 0
    wait_until(lambda: is_ready(port))
    jobs = get(port, "/api/v1/jobs/", key)["results"]
    assert isinstance(jobs, list)
    job = jobs[0]["job_id"]
    wait_until(lambda: get(port, f"/api/dataset/status/{job}", key)["status"] == "completed", 55)
    details = get(port, f"/api/dataset/detailed-status/{job}", key)
    assert isinstance(details["nodes"], list)
    assert {node["name"] for node in details["nodes"] if node["succeeded"]} == {"fast", "slow", "flaky"}

    twice = run("demo", "--port", str(free_port(0)))
    assert twice.end(20) == 78
    assert "runs already" in twice.output

    family = descendants(demo.pid)
    assert demo.stop(signal.SIGINT) == 0
    assert all_gone(family)

    again = run("demo", "--port", str(port))
    again.say_within("API key: dpl_", 60)
    assert lines[1] in again.lines, "the password stays"
    new_key = next(line for line in again.lines if line.startswith("API key: ")).removeprefix("API key: ")
    nodes = get(port, "/api/status/all", new_key)["nodes"]
    assert isinstance(nodes, list)
    assert [node["name"] for node in nodes] == ["fast", "slow", "flaky"]
    with pytest.raises(urllib.error.HTTPError, match="401"):
        get(port, "/api/status/all", key)
