"""A real supervisor in a process of its own, with what it prints, for the tests to act on."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).resolve().parent.parent.parent
PYTHON = [sys.executable, "-S", "-u", "-c"]
# Children that end when the supervisor does, so that a failing test leaves nothing behind.
# `say` writes a line in one piece, which `print` to an unbuffered output does not.
FAITHFUL = r"""
import os, threading
from dpl_site.lib.parent import watch_parent
watch_parent(lambda: os._exit(3))
def say(*words): os.write(1, (" ".join(map(str, words)) + "\n").encode())
"""


def wait_until(condition: Callable[[], object], timeout_s: float = 15.0) -> None:
    """Return when the condition holds; fail when it does not in time."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def is_alive(pid: int) -> bool:
    """Whether the process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def child(name: str, code: str, **more: Any) -> dict[str, Any]:
    """A child that runs this Python code, and ends with the supervisor."""
    return {"name": name, "argv": [*PYTHON, FAITHFUL + code]} | more


def idle(name: str, **more: Any) -> dict[str, Any]:
    """A child that does nothing, for ever."""
    return child(name, "threading.Event().wait()", **more)


class Supervised:
    """The running supervisor of a spec; what it prints is read line by line as long as `is_read`."""

    def __init__(
        self,
        children: list[dict[str, Any]],
        *,
        banner: tuple[str, ...] = (),
        env: Mapping[str, str] | None = None,
        stdout: int = subprocess.PIPE,
    ) -> None:
        base = {name: value for name, value in os.environ.items() if not name.startswith("DPL_")}
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            [sys.executable, "-m", "dpl_site.processes.supervisor", "-"],
            stdin=subprocess.PIPE,
            stdout=stdout,
            cwd=ROOT,
            env=base | {"PYTHONPATH": str(ROOT)} | dict(env or {}),
        )
        assert self.process.stdin
        self.process.stdin.write(json.dumps({"children": children, "banner": list(banner)}).encode())
        self.process.stdin.close()
        self.reader: threading.Thread | None = None

    def read(self) -> Supervised:
        """Begin to read what it prints."""
        assert self.process.stdout
        self.reader = threading.Thread(target=self._collect, args=(self.process.stdout,), daemon=True)
        self.reader.start()
        return self

    def _collect(self, stream: IO[bytes]) -> None:
        for line in stream:
            self.lines.append(line.decode().rstrip("\n"))

    def matches(self, pattern: str) -> list[re.Match[str]]:
        """All printed lines where the pattern is found."""
        found = (re.search(pattern, line) for line in list(self.lines))
        return [match for match in found if match]

    def wait_for(self, pattern: str, count: int = 1, timeout_s: float = 15.0) -> re.Match[str]:
        """The match of the pattern in the count-th line that has it, waited for."""
        try:
            wait_until(lambda: len(self.matches(pattern)) >= count, timeout_s)
        except AssertionError:
            raise AssertionError(f"no {pattern!r} in\n" + "\n".join(self.lines)) from None
        return self.matches(pattern)[count - 1]

    def pid_of(self, name: str, start: int = 1) -> int:
        """The process id that this child got at its n-th start."""
        return int(self.wait_for(rf"{name} started as process (\d+)", start).group(1))

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the supervisor alone."""
        self.process.send_signal(number)

    def end(self, timeout_s: float = 15.0) -> int:
        """Wait for its end; returns the exit code, when all that it printed has been read."""
        code = self.process.wait(timeout_s)
        if self.reader:
            self.reader.join(5)
        return code

    def stop(self) -> int:
        """SIGTERM, then its end."""
        self.signal(signal.SIGTERM)
        return self.end()

    def close(self) -> None:
        """Leave nothing behind, whatever the test did."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if self.reader:
            self.reader.join(5)
        if self.process.stdout:
            self.process.stdout.close()
