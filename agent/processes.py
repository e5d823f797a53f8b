"""Who a process is, for the list of those that hold GPU memory: name, user, container, start, command."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import psutil

from agent.clock import iso
from agent.container import container_of
from agent.redaction import redact

_T = TypeVar("_T")
_MAX_REMEMBERED = 1024


@dataclass(frozen=True)
class ProcessFacts:
    """What could be learnt of a process; all None where it is gone or out of sight."""

    name: str | None = None
    user: str | None = None
    container: str | None = None
    started_at: str | None = None
    command: str | None = None
    started_s: float | None = None


class ProcessBook:
    """Describes processes and remembers them, as what is told here does not change while a process lives.

    A number is used again by the system, so a process is known by its number and its start. For one thread.
    """

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._known: dict[tuple[int, float], ProcessFacts] = {}

    def describe(self, pid: int) -> ProcessFacts:
        """The facts about a process of this number, as far as this machine lets the agent see them."""
        try:
            process = psutil.Process(pid)
            key = (pid, process.create_time())
        except (psutil.Error, OSError, ValueError):
            return ProcessFacts()
        facts = self._known.get(key)
        if facts is None:
            facts = _read_facts(process, key[1])
            self._remember(key, facts)
        return facts

    def elapsed_s(self, facts: ProcessFacts) -> float | None:
        """Seconds since a process began, by the wall clock that told its start."""
        return None if facts.started_s is None else round(max(0.0, self._now() - facts.started_s), 1)

    def _remember(self, key: tuple[int, float], facts: ProcessFacts) -> None:
        # One that is just being started has no command line yet, so it is asked again.
        if facts.command is None:
            return
        if len(self._known) >= _MAX_REMEMBERED:
            self._known.clear()
        self._known[key] = facts


def _read_facts(process: psutil.Process, started: float) -> ProcessFacts:
    with process.oneshot():
        argv = _told(process.cmdline)
        return ProcessFacts(
            name=_told(process.name),
            user=_told(process.username),
            container=_container(process.pid),
            started_at=iso(started),
            started_s=started,
            command=redact(argv) if argv else None,
        )


def _told(ask: Callable[[], _T]) -> _T | None:
    with contextlib.suppress(psutil.Error, OSError, KeyError):
        return ask()
    return None


def _container(pid: int) -> str | None:
    # Elsewhere there is no such file, and no container that would be told by it.
    try:
        return container_of(Path(f"/proc/{pid}/cgroup").read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return None
