"""The recipe for a service: each system's own form, with the paths of this installation."""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from agent.service import recipe
from tests.agent.test_command import environment, refused

STATE = Path("/var/lib/dpl agent/state.json")


def test_systemd_starts_this_very_program_with_this_state() -> None:
    text = recipe(STATE, "linux")
    assert f"ExecStart={Path(sys.executable).parent / 'dpl-agent'}\n" in text
    assert 'Environment="DPL_AGENT_STATE=/var/lib/dpl agent/state.json"' in text


@pytest.mark.parametrize("system", ["darwin", "win32"])
def test_the_others_are_xml_and_name_it_too(system: str) -> None:
    tree = ElementTree.fromstring(recipe(STATE, system))  # noqa: S314  # our own text
    assert any("dpl-agent" in (node.text or "") and "/" in (node.text or "") for node in tree.iter())


def test_windows_sets_no_limit_to_how_long_it_runs() -> None:
    assert "<ExecutionTimeLimit>PT0S</ExecutionTimeLimit>" in recipe(STATE, "win32")


def test_it_is_printed_by_the_command(tmp_path: Path) -> None:
    assert refused(tmp_path, "agent", "service", environ=environment()) == (0, "")
