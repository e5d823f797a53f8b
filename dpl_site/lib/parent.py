"""Whether the process that started this one still lives: a pipe whose write end only the parent holds.

However the parent ends, kill -9 included, the kernel closes its end, and the children read end of file. A
signal or a polled parent id would miss a parent that ended before the child looked.
"""

from __future__ import annotations

import os
import select
import stat
import threading
from collections.abc import Callable, Mapping

PARENT_FD = "DPL_PARENT_FD"
PARENT_PIPE = "DPL_PARENT_PIPE"


class Leash:
    """The parent's side: one pipe for all of its children, which end when it does.

    Start children by exec with `environment()` added to theirs and `descriptors()` as `pass_fds`. The write
    end is closed on exec, so that no child holds it; a parent that forks without exec must close its copy
    in the fork, or its end goes unseen. On kill -9 the kernel closes it, which is its whole purpose.
    """

    def __init__(self) -> None:
        self._read, self._write = os.pipe()

    def environment(self) -> dict[str, str]:
        """What a child needs in its environment to find its end of the pipe."""
        inode = os.fstat(self._read).st_ino
        return {PARENT_FD: str(self._read), PARENT_PIPE: f"{self._read}:{inode}"}

    def descriptors(self) -> tuple[int, ...]:
        """The descriptors that a child must inherit."""
        return (self._read,)

    def close(self) -> None:
        """Let go of both ends: to the children it is as if the parent had ended."""
        os.close(self._read)
        os.close(self._write)


def parent_descriptor(environment: Mapping[str, str] = os.environ) -> int | None:
    """The descriptor that tells of the parent's end, or None when this process has no parent to watch.

    The environment travels further than descriptors do: a grandchild may read a number here that means
    another file to it. So the number counts only while it is a pipe, and the one that the parent opened.
    """
    try:
        descriptor = int(environment.get(PARENT_FD, ""))
        found = os.fstat(descriptor)
    except (ValueError, OSError, OverflowError):
        return None
    number, _, inode = environment.get(PARENT_PIPE, "").partition(":")
    is_other = number == str(descriptor) and inode != str(found.st_ino)
    return descriptor if stat.S_ISFIFO(found.st_mode) and not is_other else None


def watch_parent(on_lost: Callable[[], None]) -> None:
    """Call `on_lost` from a daemon thread, once, when the parent has ended; return at once.

    Nothing is watched when no parent handed a pipe down, as for a process started by hand.
    """
    descriptor = parent_descriptor()
    if descriptor is not None:
        threading.Thread(
            target=_wait_for_the_end, args=(descriptor, on_lost), name="parent-watch", daemon=True
        ).start()


def _wait_for_the_end(descriptor: int, on_lost: Callable[[], None]) -> None:
    while os.read(descriptor, 4096):
        """Nobody writes here; what came all the same is not the end."""
    on_lost()


def parent_is_lost() -> bool:
    """Whether the parent has ended, asked without waiting; False where there is none to watch.

    For forked grandchildren, which inherit the descriptor but not the watching thread.
    """
    descriptor = parent_descriptor()
    if descriptor is None:
        return False
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return any(events & (select.POLLHUP | select.POLLIN) for _, events in poll.poll(0))
