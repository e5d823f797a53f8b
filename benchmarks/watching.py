"""What watching a large fleet costs: 200 simulated agents at 2 s, then 200 sockets that watch them all."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from typing import Any

import psutil

from benchmarks.memory import kilobytes, processor_seconds
from benchmarks.report import Row, Section
from tests.chaos.installation import Installation
from tests.engines.simulated import ROOT
from tests.simulated_agents import add_nodes, simulated_agents

AGENTS = 200
SOCKETS = 200
SETTLE_S = 20.0
SECONDS = 600.0
WATCHED_S = 120.0
QUICK_S = 60.0
AIM_CONTROLLER = 15.0
AIM_AGE_S = 2.5
AIM_WATCHING = 6.0
AIM_GROWTH_MB = 8.0
AGE = (
    "SELECT max((julianday('now') - julianday(sampled_at)) * 86400) FROM nodes_nodestatus WHERE reading <> ''"
)


@dataclass(frozen=True, slots=True)
class Spell:
    """What some seconds took: shares of a core in percent, the oldest reading seen, memory by second."""

    controller: float
    web: float
    oldest_s: float
    controller_mb: tuple[float, ...]


def measure(*, is_quick: bool = False) -> Section:
    """First nobody watches, for ten minutes; then 200 sockets do, for two."""
    installation = Installation(DPL_POLL_INTERVAL_S=2, OLLAMA_HOST="127.0.0.1:9")
    with simulated_agents(AGENTS) as agents:
        try:
            installation.start()
            add_nodes(installation, agents)
            time.sleep(SETTLE_S)
            alone = _spell(installation, QUICK_S if is_quick else SECONDS)
            with _watchers(installation) as watchers:
                time.sleep(5)
                _told(watchers)
                watched = _spell(installation, QUICK_S if is_quick else WATCHED_S)
                told = _told(watchers)
        finally:
            installation.stop()
    note = (
        f"`manage.py up` on SQLite, {AGENTS} simulated agents with 4 GPUs each in a process of their own, asked every "
        "2 s, history included. Shares are processor time of the process, of one core."
    )
    return Section("A large fleet", note, _rows(alone, watched, told))


def _rows(alone: Spell, watched: Spell, told: dict[str, Any]) -> list[Row]:
    more = max(0.0, watched.web - alone.web) + max(0.0, watched.controller - alone.controller)
    tenth = max(1, len(alone.controller_mb) // 10)
    growth = median(alone.controller_mb[-tenth:]) - median(alone.controller_mb[tenth : 2 * tenth])
    minutes = len(alone.controller_mb) / 60
    oldest = max(alone.oldest_s, watched.oldest_s)
    return [
        Row(
            "controller, share of a core",
            f"{alone.controller:.1f} %",
            f"≤ {AIM_CONTROLLER:g} %",
            alone.controller <= AIM_CONTROLLER,
        ),
        Row("oldest reading in the database", f"{oldest:.1f} s", f"≤ {AIM_AGE_S} s", oldest <= AIM_AGE_S),
        Row(
            f"{SOCKETS} watching sockets, web and controller, more",
            f"{more:.1f} % (web {alone.web:.1f} → {watched.web:.1f} %)",
            f"≤ {AIM_WATCHING:g} %",
            more <= AIM_WATCHING,
        ),
        Row(
            "oldest reading that a watcher was told",
            f"{told['oldest_s']:.1f} s (median {told['p50_s']:.1f} s)",
            f"≤ {AIM_AGE_S} s",
            told["oldest_s"] <= AIM_AGE_S,
        ),
        Row("sockets open at the end", str(told["open"]), f"{SOCKETS}", told["open"] == SOCKETS),
        Row(
            f"controller's growth in {minutes:.0f} minutes",
            f"{growth:+.1f} MB (of {alone.controller_mb[-1]:.0f} MB anonymous)",
            f"< {AIM_GROWTH_MB:g} MB",
            growth < AIM_GROWTH_MB,
        ),
    ]


def _spell(installation: Installation, seconds: float) -> Spell:
    controllers, webs = installation.role("controller"), installation.role("web")
    before, began = (processor_seconds(controllers), processor_seconds(webs)), time.monotonic()
    memory, oldest_s = [], 0.0
    while (passed := time.monotonic() - began) < seconds:
        oldest_s = max(oldest_s, installation.rows(AGE)[0][0])
        memory.append(sum(kilobytes(one, "Anonymous") for one in controllers) / 1024)
        time.sleep(max(0.0, len(memory) - passed))
    lasted = time.monotonic() - began
    return Spell(
        controller=100 * (processor_seconds(controllers) - before[0]) / lasted,
        web=100 * (processor_seconds(webs) - before[1]) / lasted,
        oldest_s=oldest_s,
        controller_mb=tuple(memory),
    )


@contextmanager
def _watchers(installation: Installation) -> Iterator[psutil.Popen]:
    command = [sys.executable, "-m", "benchmarks.watchers", installation.url, installation.key]
    process = psutil.Popen(
        [*command, "--count", str(SOCKETS)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout.readline().strip() == "ready"
        yield process
    finally:
        process.kill()
        process.wait()


def _told(watchers: psutil.Popen) -> dict[str, Any]:
    watchers.stdin.write("\n")
    watchers.stdin.flush()
    found: dict[str, Any] = json.loads(watchers.stdout.readline())
    return found
