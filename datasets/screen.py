"""How a job looks in a terminal: a live bar with a line per node, or plain lines now and then. Decides nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

PLAIN_EVERY_S = 5.0

Status = Mapping[str, Any]


class Screen(Protocol):
    """What a run is shown on."""

    def show(self, status: Status) -> None:
        """The job as it is now."""

    def say(self, sentence: str) -> None:
        """One sentence, which stays."""

    def close(self) -> None:
        """Nothing more comes."""


def screen_for(console: Console) -> Screen:
    """A live screen on a terminal, else plain lines."""
    return LiveScreen(console) if console.is_terminal else PlainScreen(console)


class PlainScreen:
    """A line every few seconds, and whenever the job's state changes: for logs."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._console, self._clock = console, clock
        self._shown_at = float("-inf")
        self._state = ""

    def show(self, status: Status) -> None:
        """The job as it is now, if it is time."""
        now = self._clock()
        if status["status"] == self._state and now - self._shown_at < PLAIN_EVERY_S:
            return
        self._shown_at, self._state = now, status["status"]
        self.say(f"{status['status']}: {summary(status)}")

    def say(self, sentence: str) -> None:
        """One sentence, as a line."""
        self._console.print(sentence, markup=False, highlight=False, soft_wrap=True)

    def close(self) -> None:
        """Nothing more comes."""


class LiveScreen:
    """A bar that moves, and a line for each node."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, refresh_per_second=8, transient=False)
        self._live.start()

    def show(self, status: Status) -> None:
        """The job as it is now."""
        self._live.update(Group(_bar(status), *([_nodes(status)] if status["nodes"] else [])))

    def say(self, sentence: str) -> None:
        """One sentence above the bar."""
        self._live.console.print(sentence, markup=False, highlight=False, soft_wrap=True)

    def close(self) -> None:
        """Leave the last picture standing."""
        self._live.stop()


def summary(status: Status) -> str:
    """A job's progress on one line."""
    parts = [f"{status['done']}/{status['total']} ({status['progress']:.1%})"]
    if status["importing"]:
        parts.append(f"{status['importing']['imported']} rows imported")
    if status["failed"]:
        parts.append(f"{status['failed']} failed")
    if status["running"]:
        parts.append(f"{status['running']} running")
    parts.append(f"{status['rate_per_s']:.2f} items/s, {status['tokens_per_second']:.0f} tokens/s")
    if status["eta_s"] is not None:
        parts.append(f"{duration(status['eta_s'])} left")
    return ", ".join(parts)


def duration(seconds: float) -> str:
    """A duration in its two largest units: `1h 05m`, `3m 20s`, `7s`."""
    whole = round(seconds)
    for size, unit, below, small in ((86400, "d", 3600, "h"), (3600, "h", 60, "m"), (60, "m", 1, "s")):
        if whole >= size:
            return f"{whole // size}{unit} {whole % size // below:02d}{small}"
    return f"{whole}s"


def _bar(status: Status) -> Table:
    table = Table.grid(padding=(0, 1), expand=False)
    bar = ProgressBar(total=max(status["total"], 1), completed=status["done"], width=40)
    table.add_row(
        Text(status["name"][:30], style="bold"), bar, Text(f"{status['status']}: {summary(status)}")
    )
    return table


def _nodes(status: Status) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for head in ("node", "done", "failed", "running", "share", "tokens/s", "p50", "p95", "idle"):
        table.add_column(head, justify="left" if head == "node" else "right")
    for node in status["nodes"]:
        numbers = [node["succeeded"], node["failed"], node["running"], f"{node['share']:.0%}"]
        times = [_seconds(node["p50_s"]), _seconds(node["p95_s"]), _seconds(node["idle_s"])]
        cells = [node["name"], *numbers, f"{node['tokens_per_second']:.0f}", *times]
        table.add_row(*(Text(str(cell)) for cell in cells))
    return table


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}s"
