"""How a round looks: a table in colour for a person, a line for each check in a log, one object for a program."""

from __future__ import annotations

import json
from collections.abc import Callable

from rich.console import Console
from rich.table import Table
from rich.text import Text

from dpl_site.healthcheck.results import Round, State

_COLOURS = {State.OK: "green", State.WARNING: "yellow", State.FAILED: "bold red", State.SKIPPED: "dim"}

Show = Callable[[Round], None]


def showing(console: Console, *, is_json: bool) -> Show:
    """What shows a round on this console."""
    if is_json:
        return lambda done: _say(console, json.dumps(done.view(), ensure_ascii=False))
    if console.is_terminal:
        return lambda done: console.print(table(done))
    return lambda done: _say(console, "\n".join(lines(done)))


def table(done: Round) -> Table:
    """For a person. Whatever machines are called and say is text, never markup."""
    found = Table(
        title=f"DPL, {done.at}", caption=done.summary(), title_justify="left", caption_justify="left"
    )
    for title in ("check", "state", "what", "s"):
        found.add_column(title, justify="right" if title == "s" else "left", overflow="fold")
    for one in done.results:
        took = f"{one.seconds:.2f}" if one.seconds else ""
        state = Text(one.state.value, style=_COLOURS[one.state])
        found.add_row(Text(one.check), state, Text(one.message), Text(took))
    return found


def lines(done: Round) -> list[str]:
    """For a log: `time STATE check: what`."""
    return [
        f"{done.at} {one.state.value.upper():7} {_plain(one.check)}: {_plain(one.message)}"
        for one in done.results
    ]


def _plain(text: str) -> str:
    return " ".join(text.split())


def _say(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)
