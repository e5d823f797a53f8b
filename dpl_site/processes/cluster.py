"""One django-q2 cluster as a tree of processes: forked into a session of its own, looked at, and ended whole.

The fork happens after Django is set up, so that all of its processes share their memory. Linux and macOS.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Collection
from dataclasses import dataclass
from typing import NoReturn

import psutil
from django.db import connections

from dpl_site.lib.parent import PARENT_FD, PARENT_PIPE
from dpl_site.processes.roles import Role, is_complete, role_of
from dpl_site.processes.signals import Bell

AFTER_KILL_S = 1.0
START_SLACK_S = 0.1

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Member:
    """One process of the cluster."""

    process: psutil.Process
    role: Role

    @property
    def runs(self) -> bool:
        """Whether it is there and has not ended. Asked twice a second, so no pid can come round meanwhile."""
        try:
            return self.process.status() != psutil.STATUS_ZOMBIE
        except psutil.Error:
            return False


def runs(process: psutil.Process) -> bool:
    """Whether a process is there and has not ended; a reused pid is not mistaken for it."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


class Cluster:
    """A running cluster; `pid` is its main process and its process group at once.

    Guarantee: it ends with the process that forked it, kill -9 of that one included, since main reads a pipe
    whose other end only the forker holds. It writes no rows itself.
    """

    def __init__(self, bell: Bell) -> None:
        self.started_at = time.monotonic()
        self.members: tuple[Member, ...] = ()
        self.is_complete = False
        read, self._leash = os.pipe()
        connections.close_all()
        sys.stdout.flush()
        sys.stderr.flush()
        gc.collect()
        gc.freeze()  # the collector would write into every page that the processes share
        self.pid = os.fork()
        if self.pid == 0:
            _be_main(read, self._leash, bell)
        os.close(read)
        gc.unfreeze()
        self._main = psutil.Process(self.pid)

    @property
    def main_has_ended(self) -> bool:
        """Whether the main process has ended. It is not reaped here, so its pid and group stay its own."""
        return not runs(self._main)

    def look(self, *, workers: int) -> bool:
        """Find processes that were not known yet, with their roles; whether all are there that should be."""
        try:
            sentinels = self._main.children()
            found = [member for sentinel in sentinels[:1] for member in _members(sentinel)]
        except psutil.Error:
            return False
        known = {member.process for member in self.members}
        self.members += tuple(member for member in found if member.process not in known)
        self.is_complete = is_complete([member.role for member in self.members], workers=workers)
        return self.is_complete

    def has_replacements(self) -> bool:
        """Whether somebody was killed and replaced before he was seen: a sentinel begins the pusher last."""
        born = {role: [m.process.create_time() for m in self.members if m.role is role] for role in Role}
        last = max(born[Role.WORKER] + born[Role.MONITOR])
        return last > min(born[Role.PUSHER]) + START_SLACK_S

    def forget(self, pids: Collection[int]) -> None:
        """These are gone and others are to take their places; the rest must still be the same."""
        self.members = tuple(member for member in self.members if member.process.pid not in pids)
        self.is_complete = False

    def signal_role(self, role: Role, number: int) -> None:
        """Send a signal to the processes in a role."""
        for member in self.members:
            if member.role is role:
                send(member.process, number)

    def kill(self) -> None:
        """SIGKILL every process of the group, and wait until they are gone; reaps main."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)  # it may not have made its group yet
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, 0)
        with contextlib.suppress(OSError):
            os.close(self._leash)
        await_end([member.process for member in self.members], AFTER_KILL_S)


def _members(sentinel: psutil.Process) -> list[Member]:
    found = [Member(sentinel, Role.SENTINEL)]
    for child in sentinel.children():
        role = role_of(" ".join(child.cmdline()))
        if role is not None and runs(child):
            found.append(Member(child, role))
    return found


def send(process: psutil.Process, number: int) -> None:
    """Send a signal to a process unless it is gone; never to another that got its pid."""
    with contextlib.suppress(psutil.Error):
        process.send_signal(number)


def await_end(processes: Collection[psutil.Process], timeout_s: float) -> None:
    """Wait until all have ended, for the given time at most."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline and any(runs(process) for process in processes):
        time.sleep(0.02)


def _be_main(read: int, write: int, bell: Bell) -> NoReturn:
    """In the forked process: run the cluster until it ends, and leave without any of the parent's clean-up."""
    try:
        os.setsid()
        os.close(write)
        bell.silence_here()
        _end_with_parent(read)
        from django_q.cluster import Cluster as Queue

        queue = Queue()
        queue.start()
        queue.sentinel.join()
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def _end_with_parent(read: int) -> None:
    """Kill this group when the parent has ended; drains ask the same pipe (`lib/parent.py`)."""
    os.environ[PARENT_FD] = str(read)
    os.environ[PARENT_PIPE] = f"{read}:{os.fstat(read).st_ino}"
    threading.Thread(target=_await_parent, args=(read,), name="parent-watch", daemon=True).start()


def _await_parent(read: int) -> None:
    while os.read(read, 64):
        """Nobody writes here."""
    os.killpg(os.getpgrp(), signal.SIGKILL)
