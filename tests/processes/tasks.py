"""Task functions for a real django-q2 cluster under test; what they did stands in files."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from nodes.instances import Heartbeat


def mark(file: str) -> str:
    """Leave a line with the process's id."""
    with Path(file).open("a") as lines:
        lines.write(f"{os.getpid()}\n")
    return "marked"


def hold(file: str, *, obeys: bool = True) -> str:
    """Be busy as a drain is, until SIGTERM; then say that all was given back. Some do not obey."""
    heartbeat = Heartbeat(kind="drain", group_pid=os.getpgrp()).start()
    told = []
    signal.signal(signal.SIGTERM, lambda number, frame: told.append(number))
    try:
        mark(file)
        while not (told and obeys) and not heartbeat.is_lost:
            time.sleep(0.02)
        Path(f"{file}.given_back").touch()
    finally:
        heartbeat.stop()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    return "held"
