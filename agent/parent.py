"""How a program learns that its supervisor died: the pipe it inherited reaches its end."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable


def watch_parent(fd: int, on_death: Callable[[], None]) -> None:
    """Call `on_death` once, from a daemon thread, when the pipe behind `fd` ends.

    The supervisor holds the other end and never writes; its death closes it, however it dies.
    """
    threading.Thread(target=_wait, args=(fd, on_death), name="parent-watch", daemon=True).start()


def _wait(fd: int, on_death: Callable[[], None]) -> None:
    try:
        while os.read(fd, 64):
            continue
    except OSError:
        # A pipe that can no longer be read tells of no living parent either.
        on_death()
        return
    on_death()
