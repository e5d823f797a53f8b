"""The agent alone: the wheel that the site gives out says what pyproject.toml says, and runs without the site."""

from __future__ import annotations

import importlib.util
import io
import os
import subprocess
import sys
import tomllib
import venv
import zipfile
from pathlib import Path

import psutil
import pytest

from agent import __version__
from dpl_site.lib.agent_wheel import wheel
from tests.agent.talk import ask
from tests.agent.test_command import ROOT, environment, program


def pip_folder() -> Path:
    """Where this environment's pip is; an empty one has none of its own, and making it takes long."""
    spec = importlib.util.find_spec("pip")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


def test_it_says_what_pyproject_says() -> None:
    project = tomllib.loads((ROOT / "agent" / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    with zipfile.ZipFile(io.BytesIO(wheel()[1])) as archive:
        folder = f"dpl_agent-{__version__}.dist-info"
        told = archive.read(f"{folder}/METADATA").decode().splitlines()
        points = archive.read(f"{folder}/entry_points.txt").decode()
    assert {f"Requires-Dist: {one}" for one in project["dependencies"]} <= set(told)
    assert f"Requires-Python: {project['requires-python']}" in told
    assert f"Summary: {project['description']}" in told
    (name, target), *_ = project["scripts"].items()
    assert f"{name} = {target}" in points


@pytest.mark.slow
def test_it_installs_into_an_empty_environment_and_runs_without_the_site(tmp_path: Path) -> None:
    """Its two needs are lent from this environment, so that the test needs no network."""
    name, data = wheel()
    (tmp_path / name).write_bytes(data)
    home = tmp_path / "venv"
    venv.create(home, with_pip=False)
    python = home / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    runner = pip_folder() / "__pip-runner__.py"
    quiet = ["--quiet", "--no-deps", "--no-index", "--disable-pip-version-check"]
    subprocess.run(
        [str(python), str(runner), "install", *quiet, str(tmp_path / name)], check=True, timeout=120
    )
    (tmp_path / "lent").mkdir()
    (tmp_path / "lent" / "psutil").symlink_to(Path(psutil.__file__).parent)
    environ = environment(PYTHONPATH=str(tmp_path / "lent"))
    command = [str(python.parent / "dpl-agent"), "--version"]
    shown = subprocess.run(command, capture_output=True, text=True, env=environ)
    assert (shown.stdout.strip() or shown.stderr) == f"dpl-agent {__version__}"
    with program(tmp_path, "agent", "--port", "0", environ=environ, python=str(python)) as (_, url):
        status = ask(url, "/status").json()
    assert (status["agent_version"], status["memory"]["total_bytes"] > 0) == (__version__, True)
    assert sys.executable != str(python)
