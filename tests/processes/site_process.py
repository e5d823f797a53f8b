"""A real process of the site, on the test's own database, that ends with the test whatever happens."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO
from urllib.parse import quote

import psutil
from django.conf import settings
from django.db import connection
from django_q.conf import Conf

from dpl_site.lib.parent import Leash
from tests.processes.supervised import ROOT, is_alive, wait_until


def database_url() -> str:
    """The URL of the database that this test uses."""
    found = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{found['NAME']}"
    who = ":".join(quote(str(found[key] or ""), safe="") for key in ("USER", "PASSWORD"))
    host = f"/{found['HOST']}" if str(found["HOST"]).startswith("/") else f"{found['HOST']}:{found['PORT']}"
    return f"postgres://{who}@{host}/{found['NAME']}"


class SiteProcess:
    """`manage.py ARGUMENTS` as a child of the test; its output is kept in `lines`."""

    def __init__(self, *arguments: str, env: dict[str, str] | None = None) -> None:
        self.lines: list[str] = []
        self._leash = Leash()
        base = {name: value for name, value in os.environ.items() if name != "DPL_PROCESS"}
        base |= {"DATABASE_URL": database_url(), "DPL_DATA_DIR": str(settings.DPL_DATA_DIR)}
        base |= {"DPL_LOG_LEVEL": "INFO", "PYTHONUNBUFFERED": "1"}
        self.process = subprocess.Popen(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=base | (env or {}) | self._leash.environment(),
            pass_fds=self._leash.descriptors(),
            start_new_session=True,
        )
        assert self.process.stdout
        self._reader = threading.Thread(target=self._collect, args=(self.process.stdout,), daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """The process's id."""
        return self.process.pid

    @property
    def output(self) -> str:
        """All that was printed."""
        return "\n".join(self.lines)

    def say_within(self, words: str, timeout_s: float = 20.0) -> None:
        """Wait until these words were printed."""
        try:
            wait_until(lambda: words in self.output, timeout_s)
        except AssertionError:
            raise AssertionError(f"no {words!r} in\n{self.output}") from None

    def end(self, timeout_s: float = 10.0) -> int:
        """Its exit code, waited for."""
        return self.process.wait(timeout_s)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Tell it to stop; its exit code."""
        self.process.send_signal(number)
        return self.end()

    def kill(self) -> None:
        """SIGKILL to it alone."""
        self.process.kill()
        self.process.wait()

    def let_go(self) -> None:
        """To it, this is as if its parent had ended."""
        if self._leash is not None:
            with contextlib.suppress(OSError):
                self._leash.close()

    def close(self) -> None:
        """Leave nothing behind."""
        if self.process.poll() is None:
            family = descendants(self.pid)
            self.kill()
            for pid in family:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        self.let_go()
        self._reader.join(5)
        if (
            self.process.stdout and not self._reader.is_alive()
        ):  # else something still writes, and close would wait
            self.process.stdout.close()

    def _collect(self, stream: IO[bytes]) -> None:
        for line in stream:
            self.lines.append(line.decode(errors="replace").rstrip("\n"))


class Tree:
    """The processes of a running cluster by role, as its titles tell."""

    def __init__(self, watchdog: int) -> None:
        main = psutil.Process(watchdog).children()[0]
        sentinel = main.children()[0]
        self.main, self.sentinel = main.pid, sentinel.pid
        titled = [
            (child.pid, (" ".join(child.cmdline()).split() + [""] * 3)[2]) for child in sentinel.children()
        ]
        self.workers = [pid for pid, word in titled if word in ("idle", "processing")]
        self.pushers = [pid for pid, word in titled if word == "pusher"]
        self.monitors = [pid for pid, word in titled if word == "monitor"]

    @property
    def is_complete(self) -> bool:
        """Whether everybody is there."""
        wanted = Conf.WORKERS
        return len(self.workers) == wanted and len(self.pushers) == len(self.monitors) == 1

    @property
    def pids(self) -> list[int]:
        """All of them."""
        return [self.main, self.sentinel, *self.workers, *self.pushers, *self.monitors]


def tree_of(watchdog: int, *, other_than: Tree | None = None, timeout_s: float = 20.0) -> Tree:
    """The complete cluster of a watchdog, waited for; with `other_than`, a later one than that."""
    found: list[Tree] = []

    def look() -> bool:
        with contextlib.suppress(psutil.Error, IndexError):
            tree = Tree(watchdog)
            if tree.is_complete and (other_than is None or tree.main != other_than.main):
                found.append(tree)
        return bool(found)

    wait_until(look, timeout_s)
    return found[0]


def descendants(pid: int) -> list[int]:
    """Everything below a process."""
    try:
        return [child.pid for child in psutil.Process(pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def all_gone(pids: list[int]) -> bool:
    """Whether none of these runs any more."""
    return not any(is_alive(pid) for pid in pids)


def send(pid: int, number: int = signal.SIGKILL) -> None:
    """Send a signal to one process."""
    os.kill(pid, number)


def lines_of(file: Path) -> list[str]:
    """The lines that `tasks.mark` left."""
    return file.read_text().splitlines() if file.exists() else []
