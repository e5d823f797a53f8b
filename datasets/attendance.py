"""A job that somebody attends from a terminal: shown while it runs, stopped by Ctrl+C, written out at its end."""

from __future__ import annotations

import os
import shlex
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from datasets import selectors, services
from datasets.export import whole
from datasets.models import Job
from datasets.moves import ENDED, job_by_id
from datasets.screen import Screen, duration
from datasets.states import JobState, StopMode
from dpl_site.lib.db import retrying
from nodes.instances import alive

POLL_S = 0.5
LONELY_S = 10.0
"""How long no worker may live before that is said."""

ALL_SUCCEEDED, SOME_FAILED, JOB_FAILED, STOPPED = 0, 3, 4, 130
"""Exit codes."""


class Attendance:
    """Follows one job to its end.

    Guarantee: whenever it ends by itself, `out` holds the rows of that moment, whole or not written at all.
    Writes the file and, at Ctrl+C, the job's state through services. On kill -9 the job goes on by itself,
    and `--resume` attends it again.
    """

    def __init__(
        self,
        *,
        job_id: str,
        out: Path,
        form: str,
        screen: Screen,
        poll_s: float = POLL_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._job_id, self._out, self._form = job_id, out, form
        self._screen, self._poll_s, self._clock = screen, poll_s, clock
        self._presses = self._obeyed = 0
        self._seen_worker_at = clock()
        self._has_complained = False

    def run(self) -> int:
        """Attend until the job has ended, write the result, and give the exit code."""
        with self._listening():
            status = self._status()
            while status["status"] not in ENDED:
                self._obey()
                self._look_for_workers()
                time.sleep(self._poll_s)
                status = self._status()
        self._write(status)
        return _exit_code(status)

    def press(self) -> None:
        """Ctrl+C: once drains, twice aborts, a third time leaves the job alone and goes."""
        self._presses += 1
        if self._presses > 2:
            raise KeyboardInterrupt

    def _status(self) -> dict[str, Any]:
        status: dict[str, Any] = retrying(lambda: selectors.detailed_status(self._job()), give_up_after_s=60)
        self._screen.show(status)
        return status

    def _job(self) -> Job:
        return Job.objects.select_related("owner").filter(id=self._job_id).first() or job_by_id(self._job_id)

    def _obey(self) -> None:
        if self._presses == self._obeyed:
            return
        self._obeyed = self._presses
        is_first = self._presses == 1
        mode = StopMode.DRAIN if is_first else StopMode.ABORT
        self._screen.say(
            "Stopping: what runs may finish. Ctrl+C again cuts it."
            if is_first
            else "Stopping now: what runs is cut. Ctrl+C again leaves the job to itself."
        )
        retrying(lambda: services.job_stop(job_id=self._job_id, mode=mode))

    def _look_for_workers(self) -> None:
        now = self._clock()
        if retrying(lambda: alive().filter(kind="worker").exists()):
            self._seen_worker_at, self._has_complained = now, False
        elif now - self._seen_worker_at > LONELY_S and not self._has_complained:
            self._has_complained = True
            self._screen.say("No worker is running any more. Start one: python manage.py up")

    def _write(self, status: dict[str, Any]) -> None:
        write_result(job_id=self._job_id, out=self._out, form=self._form)
        say, took = self._screen.say, duration(status["duration_s"] or 0)
        say(f"{status['succeeded']} succeeded, {status['failed']} failed in {took}. Result: {self._out}")
        there = status["importing"]["imported"] if status["importing"] else status["total"]
        if there > status["done"]:
            say(f"{there - status['done']} rows are not done yet: their model_output is null.")
        if there < status["total"]:
            say(f"{status['total'] - there} rows of the file were not imported yet and are missing.")
        if status["error"]:
            say(f"The job could not run: {status['error']}")
        if status["status"] != JobState.COMPLETED:
            say(f"To go on: {self._again()}")
        elif status["failed"]:
            say(f"To try the failed ones again: {self._again()} --retry-failed")

    def _again(self) -> str:
        """The command that attends this job again."""
        flag = [] if form_of(self._out) == self._form else [f"--{self._form}"]
        words = ["python", "manage.py", "run", "--resume", self._job_id, "-o", str(self._out), *flag]
        return shlex.join(words)

    @contextmanager
    def _listening(self) -> Iterator[None]:
        """Ctrl+C is ours meanwhile."""

        def pressed(number: int, frame: FrameType | None) -> None:
            self.press()

        before = signal.signal(signal.SIGINT, pressed)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)


def form_of(out: Path) -> str:
    """The form that a file's name asks for."""
    return "jsonl" if out.suffix.lower() in (".jsonl", ".ndjson") else "json"


def write_result(*, job_id: str, out: Path, form: str) -> None:
    """Write a job's rows, in input order, to a file beside `out` that takes its place when it is whole."""
    beside = out.with_name(f".{out.name}.{os.getpid()}.part")
    try:
        with beside.open("wb") as file:
            for chunk in whole(job_id=job_id, form=form):
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(out)
    finally:
        beside.unlink(missing_ok=True)


def _exit_code(status: dict[str, Any]) -> int:
    if status["status"] == JobState.COMPLETED:
        return SOME_FAILED if status["failed"] else ALL_SUCCEEDED
    return JOB_FAILED if status["status"] == JobState.FAILED else STOPPED
