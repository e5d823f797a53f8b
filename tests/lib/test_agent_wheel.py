"""The agent as a wheel: the same bytes each time, whole, and what pip makes of it runs."""

from __future__ import annotations

import io
import zipfile

import pytest
from django.test import Client

import agent
from dpl_site.lib import agent_wheel


def archive() -> zipfile.ZipFile:
    return zipfile.ZipFile(io.BytesIO(agent_wheel.wheel()[1]))


def test_its_name_has_the_agents_version() -> None:
    name, content = agent_wheel.wheel()
    assert name == f"dpl_agent-{agent.__version__}-py3-none-any.whl"
    agent_wheel.wheel.cache_clear()
    assert agent_wheel.wheel() == (name, content), "the same files give the same bytes"


def test_it_holds_every_module_and_what_pip_asks_for() -> None:
    packed = archive()
    assert packed.testzip() is None
    names = set(packed.namelist())
    modules = {f"agent/{path.relative_to(agent_wheel.FOLDER)}" for path in agent_wheel.FOLDER.rglob("*.py")}
    assert modules <= names
    info = f"dpl_agent-{agent.__version__}.dist-info"
    assert names - modules == {
        f"{info}/{name}" for name in ("METADATA", "WHEEL", "entry_points.txt", "RECORD")
    }
    metadata = packed.read(f"{info}/METADATA").decode()
    assert "Requires-Dist: psutil>=" in metadata
    assert "dpl-agent = agent.__main__:main" in packed.read(f"{info}/entry_points.txt").decode()
    recorded = {line.split(",")[0] for line in packed.read(f"{info}/RECORD").decode().splitlines()}
    assert recorded == names


@pytest.mark.django_db
def test_it_is_served_to_everybody_by_its_name_alone() -> None:
    name, content = agent_wheel.wheel()
    answer = Client().get(f"/agent/{name}")
    assert (answer.status_code, answer.content) == (200, content)
    for other in ("dpl_agent-0.0.0-py3-none-any.whl", "__main__.py", "..%2fmanage.py"):
        assert Client().get(f"/agent/{other}").status_code == 404
