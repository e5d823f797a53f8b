"""What processes cost: anonymous memory, proportional memory and processor time, read from the system."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Sequence
from pathlib import Path

import psutil

from tests.chaos.installation import Installation


def kilobytes(process: psutil.Process, field: str) -> int:
    """One field of /proc/PID/smaps_rollup (Anonymous, Pss, …), in kB; 0 when the process is gone."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{process.pid}/smaps_rollup").read_text(encoding="ascii").splitlines():
            if line.startswith(f"{field}:"):
                return int(line.split()[1])
    return 0


def processor_seconds(processes: Sequence[psutil.Process]) -> float:
    """User and system time that these processes have used."""
    total = 0.0
    for process in processes:
        with contextlib.suppress(psutil.Error):
            times = process.cpu_times()
            total += times.user + times.system
    return total


class Sampler:
    """Watches an installation's processes each second: the most anonymous memory any of them had, in MB, over time."""

    def __init__(self, installation: Installation) -> None:
        self._installation = installation
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.peaks_mb: list[float] = []

    def __enter__(self) -> Sampler:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopped.wait(1.0):
            found = [kilobytes(process, "Anonymous") for process in self._installation.everything()]
            self.peaks_mb.append(max(found, default=0) / 1024)
