"""Simulated engines as real processes: started, asked, killed and started again at the same address."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def free_port() -> int:
    """A port on which nothing listens now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class SimulatedEngine:
    """One simulator process; `flags` are its command line, e.g. latency_ms=50, slots=4, echo=True."""

    def __init__(self, *, model: str = "m", **flags: Any) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        words = [f"--{name.replace('_', '-')}" for name in flags]
        self._arguments = ["--port", str(self.port), "--model", model]
        for word, value in zip(words, flags.values(), strict=True):
            self._arguments += [word] if value is True else [word, str(value)]
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> SimulatedEngine:
        """Start it and wait until it answers."""
        command = [sys.executable, "-m", "agent.simulator", *self._arguments]
        self.process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})
        deadline = time.monotonic() + 15
        while time.monotonic() < deadline:
            try:
                self.stats()
                return self
            except OSError:
                time.sleep(0.05)
        raise TimeoutError(f"the simulator at {self.url} does not answer")

    def stats(self) -> dict[str, Any]:
        """Its own count of requests started, finished, cancelled, in flight."""
        with urllib.request.urlopen(f"{self.url}/sim/stats", timeout=5) as answer:
            found: dict[str, Any] = json.load(answer)
        return found

    def fault(self, kind: str, rate: float) -> None:
        """Let a share of the coming requests go wrong in one way."""
        body = json.dumps({"fault": kind, "rate": rate}).encode()
        request = urllib.request.Request(f"{self.url}/sim/fault", data=body, method="POST")
        with urllib.request.urlopen(request, timeout=5):
            pass

    def kill(self) -> None:
        """SIGKILL, as a machine that loses power."""
        if self.process:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait(timeout=10)
            self.process = None

    def __enter__(self) -> SimulatedEngine:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.kill()
