"""Keeps the processes of an installation running: `python -m dpl_site.processes.supervisor SPEC`.

SPEC is the path of a JSON file (`spec.py` says what it holds), or `-` for standard input. Standard library
only: this process lives beside all others and must stay small.
"""

from __future__ import annotations

import os
import selectors
import signal
import sys
import time

from dpl_site.lib.parent import Leash
from dpl_site.processes.backoff import CONFIG_ERROR, decide
from dpl_site.processes.children import Running, Stream, reaped
from dpl_site.processes.output import Console
from dpl_site.processes.spec import Spec, SpecError, parse
from dpl_site.processes.wakeup import signals_as_bytes, stop_signals

ORPHANED_OUTPUT_S = 10.0
AFTER_KILL_S = 5.0
# One Ctrl+C or `timeout` may reach a process twice: directly and through make. That is one wish.
SECOND_SIGNAL_S = 0.5
NOT_STARTED = 127
_USAGE = "Usage: python -m dpl_site.processes.supervisor SPEC (a JSON file, or - for standard input)\n"


class Supervisor:
    """Starts the children by rank, starts again what ends, and stops all in order when told to.

    Guarantee: as long as it lives, each child runs or is about to be started again, at most 10 s later;
    when it stops, no child and nothing of a child's process group is left. It writes no rows.
    On kill -9 it does nothing at all, and need not: the kernel closes the pipe that each child watches
    (`dpl_site/lib/parent.py`), and they end by themselves.
    """

    def __init__(self, spec: Spec, console: Console) -> None:
        self.spec = spec
        self.console = console
        self.exit_code: int | None = None  # None: not stopping
        self._selector = selectors.DefaultSelector()
        self._leash = Leash()
        self._all = [Running(child, self._selector) for child in spec.children]
        self._started: list[Running] = []
        self._ranks = sorted({child.start_rank for child in spec.children})
        self._streams: list[tuple[Running, Stream]] = []
        self._stop_asked_at: float | None = None
        self._is_banner_due = True

    def run(self) -> int:
        """Supervise until told to stop; returns the exit code. In the main thread only."""
        with signals_as_bytes() as signals:
            self._selector.register(signals, selectors.EVENT_READ, lambda: self._on_signals(signals))
            self._tend(time.monotonic())
            while self.exit_code is None or any(running.process for running in self._all):
                for key, _ in self._selector.select(self._wait_s()):
                    key.data()
                self._tend(time.monotonic())
            self._let_go()
        return self.exit_code

    # --- What wakes the loop ------------------------------------------------------------------------------

    def _wait_s(self) -> float | None:
        """Seconds until something is due; None, so no wake-up at all, when all is well."""
        due = [stream.close_at for _, stream in self._streams]
        for running in self._all:
            due += [running.restart_at, running.kill_at]
            if self.exit_code is None and running.process:
                due += [running.readiness.due, running.late_at]
        moments = [moment for moment in due if moment is not None]
        return max(0.0, min(moments) - time.monotonic()) if moments else None

    def _on_signals(self, descriptor: int) -> None:
        for number in stop_signals(descriptor):
            self._on_stop_signal(number, time.monotonic())

    def _on_stop_signal(self, number: signal.Signals, now: float) -> None:
        if self._stop_asked_at is None:
            self._stop_asked_at = now
            self.console.say(f"{number.name}: stopping all. Once more kills.", signal=number.name)
            self._stop(0)
        elif now - self._stop_asked_at >= SECOND_SIGNAL_S:
            self.console.say(f"{number.name} again: killing all.", "WARNING", signal=number.name)
            for running in self._all:
                self._kill(running, now)

    def _tend(self, now: float) -> None:
        """Do what is due now; called after every wake-up, cheap when nothing is."""
        ours = {running.pid: running for running in self._all if running.pid is not None}
        for pid, code in reaped(ours):
            if pid in ours:
                self._on_end(ours[pid], code, now)
        for running, stream in list(self._streams):
            if stream.close_at is not None and now >= stream.close_at:
                self._close_stream(running, stream)
        if self.exit_code is None:
            self._tend_starts(now)
        else:
            self._tend_stops(now)

    # --- Starting -----------------------------------------------------------------------------------------

    def _tend_starts(self, now: float) -> None:
        for running in self._started:
            if running.restart_at is not None and now >= running.restart_at:
                self._start(running, now)
            if running.process:
                running.readiness.tend(now)
        while self._ranks and all(self._is_settled(running, now) for running in self._started):
            rank = self._ranks.pop(0)
            for running in self._all:
                if running.child.start_rank == rank:
                    self._started.append(running)
                    self._start(running, now)
        if self._is_banner_due and not self._ranks and all(one.readiness.is_ready for one in self._all):
            self._is_banner_due = False
            self.console.banner(self.spec.banner)

    def _start(self, running: Running, now: float) -> None:
        name = running.child.name
        try:
            stream = running.start(
                now, self._leash, self.spec.folder, lambda line: self.console.child(name, line)
            )
        except OSError as error:
            self._plan_restart(running, NOT_STARTED, now, f"{name} cannot be started ({error})")
            return
        self._streams.append((running, stream))
        self._selector.register(stream.descriptor, selectors.EVENT_READ, stream.read)
        self.console.say(f"{name} started as process {running.pid}.", child=name, pid=running.pid)

    def _is_settled(self, running: Running, now: float) -> bool:
        """Whether the next rank need not wait for this one; says so when it waited in vain."""
        child = running.child
        is_late = now >= running.first_start + child.ready_timeout_s
        if not running.readiness.is_ready and is_late and not running.is_late:
            running.is_late = True
            self.console.say(
                f"{child.name} does not answer at {child.ready_url} after {child.ready_timeout_s:g} s. "
                "The others are started all the same.",
                "WARNING",
                child=child.name,
            )
        return running.readiness.is_ready or is_late

    # --- Ends and restarts --------------------------------------------------------------------------------

    def _on_end(self, running: Running, code: int, now: float) -> None:
        for owner, stream in self._streams:
            if owner is running and stream.close_at is None:
                stream.end(now + ORPHANED_OUTPUT_S)
        running.ended(code)
        name, lived_s = running.child.name, now - running.started_at
        how = f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
        if self.exit_code is None:
            self._plan_restart(running, code, now, f"{name} ended {how} after {lived_s:.1f} s")
        else:
            self.console.say(f"{name} ended {how}.", child=name, code=code)

    def _plan_restart(self, running: Running, code: int, now: float, end: str) -> None:
        """Start the child again later, or stop all when that is of no use; `end` tells what happened."""
        decision = decide(
            running.history,
            code=code,
            lived_s=now - running.started_at,
            age_s=now - running.first_start,
        )
        running.history = decision.history
        name, delay_s = running.child.name, decision.restart_in_s
        if delay_s is None:
            message = f"{end}, again: {decision.reason}. Stopping all."
            self.console.say(message, "ERROR", child=name, code=code)
            self._stop(CONFIG_ERROR)
            return
        running.restart_at = now + delay_s
        message = f"{end}; it starts again in {delay_s:g} s."
        self.console.say(message, "WARNING", child=name, code=code, restart_in_s=delay_s)

    def _close_stream(self, running: Running, stream: Stream) -> None:
        self._streams.remove((running, stream))
        self._selector.unregister(stream.descriptor)
        stream.close()

    # --- Stopping -----------------------------------------------------------------------------------------

    def _stop(self, exit_code: int) -> None:
        """Begin to stop, once; `_tend_stops` goes on rank by rank."""
        if self.exit_code is None:
            self.exit_code = exit_code
            for running in self._all:
                running.restart_at = None
                running.readiness.close()

    def _tend_stops(self, now: float) -> None:
        alive = [running for running in self._all if running.process]
        rank = min((running.child.stop_rank for running in alive), default=None)
        for running in alive:
            if running.child.stop_rank == rank and not running.is_told_to_stop:
                running.terminate(now)
            elif running.kill_at is not None and now >= running.kill_at:
                self._on_grace_over(running, now)

    def _on_grace_over(self, running: Running, now: float) -> None:
        child = running.child
        if running.is_killed:
            self.console.say(f"{child.name} cannot be killed; it is left behind.", "ERROR", child=child.name)
            running.ended(-signal.SIGKILL)
            return
        message = f"{child.name} did not end within {child.grace_s:g} s; it is killed."
        self.console.say(message, "WARNING", child=child.name)
        self._kill(running, now)

    def _kill(self, running: Running, now: float) -> None:
        running.kill()
        running.kill_at = now + AFTER_KILL_S if running.process else None

    def _let_go(self) -> None:
        for running, stream in list(self._streams):
            self._close_stream(running, stream)
        self._selector.close()
        self._leash.close()
        self.console.say("All stopped.", code=self.exit_code)


def supervise(spec: Spec) -> int:
    """Run the children of `spec` until told to stop; returns the exit code: 0, or 78 on a wrong setting."""
    is_coloured = os.isatty(1) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    is_json = os.environ.get("DPL_LOG_FORMAT") == "json"
    console = Console(spec.children, descriptor=1, is_json=is_json, is_coloured=is_coloured)
    try:
        return Supervisor(spec, console).run()
    finally:
        console.close()


def main(arguments: list[str]) -> int:
    """The command line: one argument, the spec. Returns the exit code; 78 when the spec is wrong."""
    for descriptor in range(3):
        _keep_open(descriptor)
    if len(arguments) != 1:
        os.write(2, _USAGE.encode())
        return 2
    try:
        with open(
            0 if arguments[0] == "-" else arguments[0], encoding="utf-8", closefd=arguments[0] != "-"
        ) as file:
            spec = parse(file.read())
    except (OSError, UnicodeDecodeError, SpecError) as error:
        os.write(2, f"supervisor: {error}\n".encode())
        return CONFIG_ERROR
    return supervise(spec)


def _keep_open(descriptor: int) -> None:
    """Open a standard descriptor that was handed down closed: the first pipe would take its number."""
    try:
        os.fstat(descriptor)
    except OSError:
        os.open(os.devnull, os.O_RDWR)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
