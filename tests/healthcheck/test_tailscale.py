"""What Tailscale's command says, in each of its states; written in its format."""

from __future__ import annotations

import json
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from dpl_site.healthcheck import tailscale
from dpl_site.healthcheck.results import Result, State
from dpl_site.healthcheck.tailscale import check_tailscale, judge

NOW = datetime(2026, 11, 21, 10, tzinfo=UTC)
RUNNING: dict[str, Any] = {
    "Version": "1.80.0",
    "BackendState": "Running",
    "AuthURL": "",
    "TailscaleIPs": ["100.90.1.2", "fd7a:115c:a1e0::2"],
    "Self": {"HostName": "dpl", "Online": True, "TailscaleIPs": ["100.90.1.2"]},
    "Peer": {
        "nodekey:1": {"HostName": "box1", "Online": True},
        "nodekey:2": {"HostName": "box2", "Online": False},
    },
    "Health": [],
}


def judged(*, is_needed: bool = False, **changes: Any) -> Result:
    return judge(json.dumps(RUNNING | changes), is_needed=is_needed, now=NOW)


def test_one_that_runs_tells_its_address_and_its_peers() -> None:
    assert (judged().state, judged().message) == (State.OK, "100.90.1.2, 1 of 2 peers online")


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ("NeedsLogin", "tailscale up"),
        ("NeedsMachineAuth", "approval"),
        ("Stopped", "tailscale up"),
        ("Starting", "starting"),
        ("NoState", "just begun"),
        ("Odd", "Odd"),
        (None, "unknown"),
    ],
)
def test_one_that_does_not_run_says_what_to_do(state: str | None, said: str) -> None:
    found = judged(BackendState=state, TailscaleIPs=None, Peer=None, Self={})
    assert (found.state, said in found.message) == (State.WARNING, True)


def test_it_is_a_failure_only_where_nodes_need_it() -> None:
    assert judged(BackendState="Stopped").state is State.WARNING
    assert judged(BackendState="Stopped", is_needed=True).state is State.FAILED


def test_a_machine_that_lost_the_tailnet_is_named() -> None:
    assert "not connected" in judged(Self={"Online": False}, is_needed=True).message


def test_a_key_that_ends_soon_and_complaints_are_warnings() -> None:
    assert "2026-11-25" in judged(Self={"Online": True, "KeyExpiry": "2026-11-25T00:00:00Z"}).message
    assert judged(Self={"Online": True, "KeyExpiry": "2027-11-25T00:00:00Z"}).state is State.OK
    assert "DNS" in judged(Health=["cannot reach\nDNS servers"]).message


@pytest.mark.parametrize(
    "output", ["", "<html>", "[]", "null", '{"BackendState": "Running", "Self": 5, "Peer": [], "Health": 3}']
)
def test_nonsense_does_not_break_it(output: str) -> None:
    assert judge(output, is_needed=False, now=NOW).message


async def test_one_that_is_not_installed_is_said_and_no_failure() -> None:
    found = await check_tailscale(is_needed=False, command="no-such-tailscale")
    assert (found.state, found.message) == (State.SKIPPED, "not installed here")
    assert (await check_tailscale(is_needed=True, command="no-such-tailscale")).state is State.FAILED


def program(folder: Path, text: str) -> str:
    """A command that stands in for Tailscale's."""
    path = folder / "tailscale"
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


async def test_the_command_is_asked_for_json(tmp_path: Path) -> None:
    command = program(tmp_path, f"[ \"$*\" = 'status --json' ] && echo '{json.dumps(RUNNING)}'")
    assert (await check_tailscale(is_needed=False, command=command)).state is State.OK


async def test_a_service_that_is_off_is_told_in_its_own_words(tmp_path: Path) -> None:
    command = program(
        tmp_path, 'echo "failed to connect to local tailscaled; it doesn\'t appear to be running" >&2; exit 1'
    )
    assert "failed to connect" in (await check_tailscale(is_needed=False, command=command)).message


async def test_a_command_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tailscale, "WITHIN_S", 0.1)
    command = program(tmp_path, "exec sleep 30")
    assert "did not answer" in (await check_tailscale(is_needed=False, command=command)).message
