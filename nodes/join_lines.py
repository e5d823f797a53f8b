"""The line that is pasted on a machine so that it becomes a node, for each system. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

LINUX, MACOS, WINDOWS = "linux", "macos", "windows"
_THIS_MACHINE = frozenset({"localhost", "127.0.0.1", "::1"})


def join_lines(*, server: str, token: str, wheel: str) -> dict[str, str]:
    """System → the line. `server` is this site's address as the machine reaches it, `wheel` the agent's file.

    The agent goes into a folder of its own, since many systems let nobody install among their own packages.
    """
    address = server.rstrip("/")
    package = f"{address}/agent/{wheel}"
    unix = (
        f"python3 -m venv ~/dpl-agent && ~/dpl-agent/bin/pip install -q {package} "
        f"&& ~/dpl-agent/bin/dpl-agent join {address} {token}"
    )
    windows = (
        rf"py -m venv $HOME\dpl-agent; & $HOME\dpl-agent\Scripts\pip install -q {package}; "
        rf"& $HOME\dpl-agent\Scripts\dpl-agent join {address} {token}"
    )
    return {LINUX: unix, MACOS: unix, WINDOWS: windows}


def first_line(lines: Mapping[str, str]) -> str:
    """The line that most machines take."""
    return lines[LINUX]


def is_this_machine_only(server: str) -> bool:
    """Whether an address means something on the server's own machine alone."""
    return (urlsplit(server).hostname or "") in _THIS_MACHINE
