"""How a vendor's own program is run: found on the PATH only, in the C locale, within a time and a size."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence

from agent.gpus import GpuAbsentError, GpuUnavailableError

TIMEOUT_S = 10.0
MAX_OUTPUT = 256 * 1024

Run = Callable[[Sequence[str]], str]


def run(command: Sequence[str], *, timeout_s: float = TIMEOUT_S) -> str:
    """What a program prints, cut at MAX_OUTPUT bytes. Raises GpuAbsentError when there is no such program, and
    GpuUnavailableError when it fails or takes too long; it is killed then."""
    program = _found(command[0])
    if program is None:
        raise GpuAbsentError(f"there is no program {command[0]} on this machine")
    environ = {**os.environ, "LC_ALL": "C", "LANG": "C"}
    try:
        # Output and errors together: what is wrong stands now in the one, now in the other.
        process = subprocess.Popen(  # noqa: S603  # a fixed program with fixed flags, no shell
            [program, *command[1:]],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environ,
            # A group of its own: what it started holds the pipe open and must end with it.
            start_new_session=True,
        )
    except OSError as error:
        raise GpuUnavailableError(f"{command[0]} cannot be run: {error.strerror}") from None
    is_late = threading.Event()

    def end() -> None:
        is_late.set()
        _kill(process)

    timer = threading.Timer(timeout_s, end)
    timer.daemon = True
    timer.start()
    with process:
        raw = process.stdout.read(MAX_OUTPUT) if process.stdout is not None else b""
        if len(raw) == MAX_OUTPUT:
            _kill(process)
        code = process.wait()
    timer.cancel()
    if is_late.is_set():
        raise GpuUnavailableError(f"{command[0]} has not answered within {timeout_s:.0f} s")
    text = raw.decode("utf-8", "replace")
    if code != 0 and len(raw) < MAX_OUTPUT:
        raise GpuUnavailableError(f"{command[0]} fails with code {code}: {_first_line(text)}")
    return text


def _found(name: str) -> str | None:
    # Not shutil.which: shutil brings every compressor of the standard library along.
    places = (os.path.join(folder, name) for folder in os.get_exec_path())
    return next((place for place in places if os.path.isfile(place) and os.access(place, os.X_OK)), None)


def _kill(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(OSError):
        if sys.platform == "win32":
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)


def _first_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[0][:200] if lines else "it says nothing"
