"""What `up` and `demo` make sure of before they start anything: a sound configuration, one instance, tables, a port."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from django.conf import settings
from django.core.checks import run_checks

from dpl_site.processes.beginning import refuse
from dpl_site.processes.refusal import CannotStart
from dpl_site.processes.schema import migrate_once
from dpl_site.processes.web import listen
from nodes.instances import alive, boot_id, expire_dead_neighbours

ENDING_S = 8.0
"""How long the processes of an installation that was killed may take to end."""

Say = Callable[[str], None]


def prepare(host: str, port: int, say: Say) -> str:
    """Make all ready for the processes to start; the address to bind. Raises CannotStart, with words.

    From then on this process, and the supervisor that it becomes, holds the data folder.
    """
    refuse(run_checks())
    _hold_folder(settings.DPL_DATA_DIR)
    migrate_once(say)
    return _await_port(host, port, say)


def _hold_folder(folder: Path) -> None:
    """Take the folder's lock for as long as this process lives, whatever program it becomes. Raises CannotStart."""
    descriptor = os.open(folder / "running.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        holder = os.read(descriptor, 32).decode("ascii", "replace").strip()
        os.close(descriptor)
        raise CannotStart(
            f"DPL runs already from {folder} (process {holder}). Stop that one, or set DPL_DATA_DIR to another folder."
        ) from error
    os.ftruncate(descriptor, 0)
    os.write(descriptor, f"{os.getpid()}\n".encode())
    os.set_inheritable(descriptor, True)


def _await_port(host: str, port: int, say: Say) -> str:
    """The address that `host` means, once the port can be had; an installation that is ending is waited for."""
    deadline = time.monotonic() + ENDING_S
    has_said = False
    while True:
        try:
            with closing(listen(host, port)) as listener:
                return str(listener.getsockname()[0])
        except CannotStart:
            expire_dead_neighbours()
            own_web = alive().filter(kind="web", boot_id=boot_id())
            if time.monotonic() > deadline or not own_web.exists():
                raise
        if not has_said:
            has_said = True
            say(f"Port {port} is still used by processes of this installation that are ending; waiting.")
        time.sleep(0.2)
