"""What the agent costs: processor and memory of a real one among many processes, and how fast it answers."""

from __future__ import annotations

import contextlib
import gc
import http.client
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from benchmarks.memory import kilobytes, processor_seconds
from benchmarks.report import Row, Section

PROCESSES = 200
SETTLE_S = 10.0
SECONDS = 60.0
POLL_S = 2.0
REQUESTS = 1000
AIM_CPU = 1.0
AIM_MB = 30.0
AIM_P99_MS = 5.0
ROOT = Path(__file__).resolve().parent.parent


def measure() -> Section:
    """One agent, asked every two seconds as the controller does, beside processes that sleep."""
    with tempfile.TemporaryDirectory() as folder, _crowd(), _agent(Path(folder)) as (process, port):
        _poll(port, SETTLE_S)
        before = processor_seconds([process])
        _poll(port, SECONDS)
        percent = 100 * (processor_seconds([process]) - before) / SECONDS
        rss, pss = process.memory_info().rss / 2**20, kilobytes(process, "Pss") / 1024
        # The garbage of the one who asks is none of the agent's time.
        gc.disable()
        times = sorted(_answers(port))
        gc.enable()
        after_mb = process.memory_info().rss / 2**20
    p50, p99 = 1000 * times[len(times) // 2], 1000 * times[int(len(times) * 0.99)]
    rows = [
        Row("processor, share of one core", f"{percent:.2f} %", f"≤ {AIM_CPU:g} %", percent <= AIM_CPU),
        Row("memory, RSS", f"{rss:.1f} MB", f"≤ {AIM_MB:.0f} MB", rss <= AIM_MB),
        Row("memory, PSS", f"{pss:.1f} MB"),
        Row(
            f"RSS after {REQUESTS:,} requests more",
            f"{after_mb:.1f} MB",
            f"≤ {AIM_MB:.0f} MB",
            after_mb <= AIM_MB,
        ),
        Row("`/status` p99", f"{p99:.2f} ms (p50 {p50:.2f})", f"< {AIM_P99_MS:g} ms", p99 < AIM_P99_MS),
    ]
    note = (
        f"`python -m agent` at a 2 s interval, {PROCESSES} sleeping processes besides, asked every 2 s for "
        f"{SECONDS:.0f} s; then {REQUESTS:,} requests one after the other. {_gpus()}"
    )
    return Section("Agent", note, rows)


@contextlib.contextmanager
def _agent(folder: Path) -> Iterator[tuple[psutil.Process, int]]:
    """A running agent and its port."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("DPL_", "OLLAMA_"))}
    environ = {**kept, "PYTHONPATH": str(ROOT), "DPL_AGENT_STATE": str(folder / "state.json")}
    started = subprocess.Popen(
        [sys.executable, "-m", "agent", "--port", "0"],
        cwd=folder,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert started.stdout is not None
        port = int(started.stdout.readline().rsplit(":", 1)[1])
        yield psutil.Process(started.pid), port
    finally:
        started.terminate()
        started.wait()
        if started.stdout is not None:
            started.stdout.close()


@contextlib.contextmanager
def _crowd() -> Iterator[None]:
    """Processes that do nothing, as a machine has them."""
    sleepers = [subprocess.Popen(["sleep", "600"]) for _ in range(PROCESSES)]
    try:
        yield
    finally:
        for sleeper in sleepers:
            sleeper.kill()
            sleeper.wait()


def _poll(port: int, seconds: float) -> None:
    """Ask as the controller does for so long."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        next(_answers(port, 1))
        time.sleep(min(POLL_S, max(0.0, end - time.monotonic())))


def _answers(port: int, count: int = REQUESTS) -> Iterator[float]:
    """How long each of so many questions over one connection takes, in seconds."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        for _ in range(count):
            began = time.perf_counter()
            connection.request("GET", "/status")
            answer = connection.getresponse()
            assert answer.status == 200
            answer.read()
            yield time.perf_counter() - began
    finally:
        connection.close()


def _gpus() -> str:
    has_driver = Path("/proc/driver/nvidia").exists()
    return "The machine has an NVIDIA driver." if has_driver else "The machine has no GPU."
