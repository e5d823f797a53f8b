"""One supervised process: started in a session of its own, read, signalled and reaped without races."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import sys
from collections.abc import Callable, Collection, Iterator

from dpl_site.lib.parent import Leash
from dpl_site.processes.backoff import History
from dpl_site.processes.output import LineCutter
from dpl_site.processes.readiness import Readiness
from dpl_site.processes.spec import Child

NEVER = float("inf")
_READ_SIZE = 64 * 1024
_DRAIN_READS = 64


class Stream:
    """The output of one run of a child; it may outlive the run while a grandchild still holds it."""

    def __init__(self, descriptor: int, take: Callable[[str], None]) -> None:
        os.set_blocking(descriptor, False)
        self.descriptor = descriptor
        self.close_at: float | None = None
        self._take = take
        self._cutter = LineCutter()

    def read(self) -> bool:
        """Take what is there, one buffer at most; False when there is nothing now."""
        try:
            data = os.read(self.descriptor, _READ_SIZE)
        except BlockingIOError:
            return False
        for line in self._cutter.feed(data) if data else self._cutter.close():
            self._take(line)
        self.close_at = self.close_at if data else 0.0
        return bool(data)

    def drain(self) -> None:
        """Take what was written up to now; bounded, since the writer may never stop."""
        for _ in range(_DRAIN_READS):
            if not self.read():
                return

    def end(self, close_at: float) -> None:
        """The writer ended: take its last lines, and what a grandchild still writes until `close_at`."""
        self.close_at = close_at
        self.drain()

    def close(self) -> None:
        """Take an unfinished last line and let go."""
        for line in self._cutter.close():
            self._take(line)
        os.close(self.descriptor)


class Running:
    """A child of the spec as it is now. Times are those of `time.monotonic`."""

    def __init__(self, child: Child, selector: selectors.BaseSelector) -> None:
        self.child = child
        self.process: subprocess.Popen[bytes] | None = None
        self.history = History()
        self.readiness = Readiness(child.ready_url, selector)
        self.first_start = self.started_at = NEVER
        self.restart_at: float | None = None
        self.kill_at: float | None = None
        self.is_late = self.is_told_to_stop = self.is_killed = False

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        return self.process.pid if self.process else None

    @property
    def late_at(self) -> float | None:
        """When others stop waiting for it; None when they do not wait."""
        is_waited_for = self.process and not self.readiness.is_ready and not self.is_late
        return self.first_start + self.child.ready_timeout_s if is_waited_for else None

    def start(self, now: float, leash: Leash, folder: str, take: Callable[[str], None]) -> Stream:
        """Start the process; returns its output. Raises OSError when it cannot be started."""
        self.restart_at = None
        self.started_at = now
        self.first_start = min(self.first_start, now)
        read, write = os.pipe()
        try:
            self.process = self._spawn(write, leash, folder)
        except OSError:
            os.close(read)
            raise
        finally:
            os.close(write)
        return Stream(read, take)

    def _spawn(self, output: int, leash: Leash, folder: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(  # noqa: S603 - the command comes from our own spec, without a shell
            self.child.argv,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=os.environ | (self.child.env or {}) | leash.environment(),
            cwd=folder or None,
            pass_fds=leash.descriptors(),
            start_new_session=True,
        )

    def ended(self, code: int) -> None:
        """Note that the process was reaped; from here on its id may be another's."""
        if self.process:
            self.process.returncode = code
        self.process = None
        self.kill_at = None

    def terminate(self, now: float) -> None:
        """SIGTERM to the process alone: it stops its own in its own order."""
        self.is_told_to_stop = True
        self.kill_at = now + self.child.grace_s
        if self.pid is not None:
            os.kill(self.pid, signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL to the process and all of its group."""
        self.is_told_to_stop = self.is_killed = True
        self.kill_at = None
        if self.pid is not None:
            kill_group(self.pid)


def kill_group(leader: int) -> None:
    """SIGKILL every process of this group; none may be left."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)


def reaped(ours: Collection[int]) -> Iterator[tuple[int, int]]:
    """The id and exit code (negative: the signal) of each process that ended, until there is none.

    The rest of a child's group is killed before the child is reaped: until then its id cannot be another's.
    As process 1 of a container the supervisor inherits strangers; those are reaped and left alone.
    """
    while found := _reap_one(ours):
        pid, status = found
        yield pid, os.waitstatus_to_exitcode(status)


def _reap_one(ours: Collection[int]) -> tuple[int, int] | None:
    try:
        if sys.platform == "darwin":  # there is no looking first here
            pid, status = os.waitpid(-1, os.WNOHANG)
        else:
            seen = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            pid, status = seen.si_pid if seen else 0, 0
    except ChildProcessError:
        return None
    if pid in ours:
        kill_group(pid)
    if pid and sys.platform != "darwin":
        pid, status = os.waitpid(pid, 0)
    return (pid, status) if pid else None
