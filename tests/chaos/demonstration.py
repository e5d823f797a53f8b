"""A running `manage.py demo`, as a newcomer has it, for pictures and for tests of its pages."""

from __future__ import annotations

import fcntl
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.e2e.browser import first_login, log_in
from tests.engines.simulated import ROOT

START_S = 90.0
PASSWORD = "correct horse battery staple"


class Demonstration:
    """Runs within its block; its data are in `folder`."""

    def __init__(self, folder: Path, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.log = folder / "log"
        self._port = port
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("DPL_", "DATABASE_"))
        }
        self._env = {**kept, "DPL_DATA_DIR": str(folder), "DPL_ENV_FILE": str(folder / "no.env")}
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Demonstration:
        # A demo looks for free ports before it takes them: two that begin at once would find the same.
        with (Path(tempfile.gettempdir()) / "dpl-demonstration.lock").open("w") as alone:
            fcntl.flock(alone, fcntl.LOCK_EX)
            return self._started()

    def _started(self) -> Demonstration:
        command = [sys.executable, "manage.py", "demo", "--port", str(self._port)]
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(command, cwd=ROOT, env=self._env, stdout=log, stderr=log)
        deadline = time.monotonic() + START_S
        while not self.said(r"API key: (\S+)"):
            if time.monotonic() > deadline or self._process.poll() is not None:
                raise AssertionError(
                    f"the demo does not start:\n{self.log.read_text(errors='replace')[-4000:]}"
                )
            time.sleep(0.2)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(timeout=30)

    def said(self, pattern: str) -> tuple[str, ...]:
        """What it printed that fits, group by group; empty while it did not."""
        found = re.search(pattern, self.log.read_text(errors="replace"))
        return found.groups() if found else ()

    @property
    def key(self) -> str:
        """The key that it printed."""
        return self.said(r"API key: (\S+)")[0]

    def add_person(self, name: str, role: str) -> None:
        """Somebody with this role, and PASSWORD."""
        code = (
            "from accounts.models import User; from accounts.services import role_set; "
            f"user = User.objects.create_user({name!r}, password={PASSWORD!r}); "
            f"role_set(user=user, role={role!r})"
        )
        env = {**self._env, "DPL_DATA_DIR": str(Path(self._env["DPL_DATA_DIR"]) / "demo")}
        subprocess.run([sys.executable, "manage.py", "shell", "-c", code], cwd=ROOT, env=env, check=True)

    def log_in(self, page: Any, who: str = "") -> None:
        """Let a browser's page in as somebody who was added, else as the admin."""
        log_in(page, self.url, *((who, PASSWORD) if who else first_login(self.log)))
