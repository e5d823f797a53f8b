"""What the agent remembers: where, for whose eyes, and what is refused."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from agent.server_url import server_base_url
from agent.state import State, StateError, default_path, load_state, save_state


def test_what_is_saved_is_read_again_and_nobody_else_may_read_it(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "state.json"
    state = State(server_url="http://a:8000", node_id=7, node_name="box", agent_token="s3cret", mode="push")
    save_state(path, state)
    assert load_state(path) == state
    save_state(path, State(machine_id=state.machine_id))
    assert load_state(path) == State(machine_id=state.machine_id)
    assert list(path.parent.iterdir()) == [path]
    if os.name == "posix":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_there_is_none_at_first_and_each_machine_draws_its_own_id(tmp_path: Path) -> None:
    assert load_state(tmp_path / "state.json") is None
    assert State().machine_id != State().machine_id


@pytest.mark.parametrize(
    "written", ["", "{", "[]", "[" * 99_999, "{}", '{"machine_id": 5}', '{"machine_id": "a", "port": "8001"}']
)
def test_a_file_that_is_something_else_is_refused_by_name(tmp_path: Path, written: str) -> None:
    path = tmp_path / "state.json"
    path.write_text(written)
    with pytest.raises(StateError, match=r"state\.json is .*Remove it and join again"):
        load_state(path)


def test_what_a_later_agent_added_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    path.write_text('{"machine_id": "a", "colour": "blue"}')
    assert load_state(path) == State(machine_id="a")


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError, match=r"cannot be written.*DPL_AGENT_STATE"):
        save_state(tmp_path / "file" / "state.json", State())


def test_each_system_has_its_own_place() -> None:
    assert default_path({"HOME": "/h"}, "linux") == Path("/h/.local/state/dpl-agent/state.json")
    assert default_path({"XDG_STATE_HOME": "/x"}, "linux") == Path("/x/dpl-agent/state.json")
    assert default_path({"HOME": "/h"}, "linux", is_root=True) == Path("/var/lib/dpl-agent/state.json")
    assert default_path({"HOME": "/h"}, "darwin") == Path(
        "/h/Library/Application Support/dpl-agent/state.json"
    )
    assert default_path({"LOCALAPPDATA": "/l"}, "win32") == Path("/l/dpl-agent/state.json")


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("http://10.0.0.5:8000", "http://10.0.0.5:8000"),
        (" http://10.0.0.5:8000/ ", "http://10.0.0.5:8000"),
        ("10.0.0.5", "http://10.0.0.5:8000"),
        ("dpl.lan:9000", "http://dpl.lan:9000"),
        ("https://dpl.lan", "https://dpl.lan:443"),
        ("http://dpl.lan/dpl/", "http://dpl.lan:80/dpl"),
        ("[::1]:8000", "http://[::1]:8000"),
    ],
)
def test_a_servers_address_is_understood_as_people_write_it(written: str, meant: str) -> None:
    assert server_base_url(written) == meant


@pytest.mark.parametrize(
    "written", ["", "a b", "ftp://a", "http://u:p@a", "http://a?x=1", "http://a:99999", "http://[::1", "hé"]
)
def test_what_is_no_address_is_refused_with_an_example(written: str) -> None:
    with pytest.raises(ValueError, match="write it like"):
        server_base_url(written)
