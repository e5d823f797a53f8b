"""A whole installation under test: `manage.py up` in a folder of its own, its roles by pid, its answers by HTTP."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

import psutil

from tests.engines.simulated import ROOT, free_port

DONE_SQL = "SELECT count(*) FROM datasets_item WHERE state IN ('succeeded', 'failed')"


class Installation:
    """One installation; `database_url` empty means SQLite in its folder."""

    def __init__(self, *, database_url: str = "", **settings: Any) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="dpl-chaos-"))
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.database_url = database_url or f"sqlite:///{self.folder}/dpl.sqlite3"
        self.log = self.folder / "log"
        self.env = {
            **{name: value for name, value in os.environ.items() if not name.startswith("DPL_")},
            "DPL_DATA_DIR": str(self.folder),
            "DATABASE_URL": self.database_url,
            "DPL_ENV_FILE": str(self.folder / "no.env"),
            "PYTHONUNBUFFERED": "1",
            **{name: str(value) for name, value in settings.items()},
        }
        self.up: psutil.Process | None = None
        self.extra: list[psutil.Process] = []
        self.key = ""
        self._seen: set[psutil.Process] = set()
        self._started: list[psutil.Popen] = []

    def start(self) -> Installation:
        """Run `up` until it answers; the first time makes a key, too."""
        self.up = self._popen("up", "--port", str(self.port))
        self.wait_for(lambda: self.get("/ready")["ready"], 60, "the installation to be ready")
        if not self.key:
            words = self.manage("apikey", "create", "--user", "admin", "--name", "chaos").split()
            self.key = next(word for word in words if word.startswith("dpl_"))
        return self

    def stop(self) -> None:
        """End everything that belongs to it."""
        for process in [*self.extra, *([self.up] if self.up else [])]:
            with contextlib.suppress(psutil.Error):
                process.send_signal(signal.SIGTERM)
        for process in [*self.extra, *([self.up] if self.up else [])]:
            with contextlib.suppress(psutil.Error, psutil.TimeoutExpired):
                process.wait(timeout=20)
        for process in self.everything():
            with contextlib.suppress(psutil.Error):
                process.kill()
        for started in self._started:
            started.wait(timeout=10)

    def second_controller(self) -> None:
        """A controller beside the one of `up`, which leads or stands by."""
        self.extra.append(self._popen("controller"))

    def manage(self, *words: str) -> str:
        """Run one command and give what it printed."""
        done = self.try_manage(*words)
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        return done.stdout

    def try_manage(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run one command, whatever comes of it."""
        command = [sys.executable, "manage.py", *words]
        return subprocess.run(command, cwd=ROOT, env=self.env, capture_output=True, text=True, timeout=120)

    def get(self, path: str) -> Any:
        """One JSON answer."""
        request = urllib.request.Request(self.url + path, headers=self._headers())
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def upload(self, rows: list[dict[str, Any]], **fields: object) -> str:
        """Upload a dataset; the id of its job."""
        import httpx

        answer = httpx.post(
            f"{self.url}/api/dataset/upload",
            headers=self._headers(),
            files={"file": ("rows.json", json.dumps(rows).encode())},
            data={name: str(value) for name, value in fields.items()},
            timeout=60,
        )
        assert answer.status_code == 201, answer.text
        return str(answer.json()["job_id"])

    def done(self) -> int:
        """Recorded items, read from the rows, so that no process need be there to tell."""
        return int(self.rows(DONE_SQL)[0][0])

    def rows(self, sql: str) -> list[Any]:
        """What one SELECT gives, on a connection of its own."""
        if self.database_url.startswith("sqlite"):
            with contextlib.closing(
                sqlite3.connect(self.database_url.removeprefix("sqlite:///"), timeout=20)
            ) as connection:
                return connection.execute(sql).fetchall()
        import psycopg

        with psycopg.connect(self.database_url.replace("postgres://", "postgresql://")) as server:
            return server.execute(sql.encode()).fetchall()

    def everything(self) -> list[psutil.Process]:
        """Every living process that it started, and those whose parent was killed since they were seen."""
        known = [*self.extra, *([self.up] if self.up else []), *self._seen]
        for process in list(known):
            with contextlib.suppress(psutil.Error):
                known += process.children(recursive=True)
        self._seen = {process for process in known if _lives(process)}
        return sorted(self._seen, key=lambda process: process.pid)

    def role(self, name: str) -> list[psutil.Process]:
        """The processes of one role: up, web, controller, agent, watchdog, main, sentinel, pusher, monitor, worker."""
        return [process for process in self.everything() if role_of(process) == name]

    @staticmethod
    def wait_for(condition: Any, seconds: float, what: str) -> float:
        """Wait until a condition holds; how long that took."""
        started = time.monotonic()
        while time.monotonic() - started < seconds:
            with contextlib.suppress(OSError, KeyError, IndexError, ValueError, sqlite3.Error):
                if condition():
                    return time.monotonic() - started
            time.sleep(0.1)
        raise TimeoutError(f"waited {seconds} s for {what}")

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"} if self.key else {}

    def _popen(self, *words: str) -> psutil.Process:
        with self.log.open("ab") as log:
            started = psutil.Popen(
                [sys.executable, "manage.py", *words], cwd=ROOT, env=self.env, stdout=log, stderr=log
            )
        self._started.append(started)
        return started


_COMMANDS = {"manage.py web": "web", "manage.py controller": "controller", "-m agent": "agent"}
_TITLES = ("pusher", "monitor", "sentinel", "guard")


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def role_of(process: psutil.Process) -> str:
    """What a process is, by its command line or the title it gave itself."""
    try:
        line = " ".join(process.cmdline())
    except psutil.Error:
        return ""
    for words, name in _COMMANDS.items():
        if words in line:
            return name
    if "supervisor" in line:
        return "up"
    if "qcluster" in line:
        return _cluster_role(process, line)
    return "watchdog" if "manage.py worker" in line else ""


def _cluster_role(process: psutil.Process, line: str) -> str:
    try:
        parent = process.parent()
        above = " ".join(parent.cmdline()) if parent else ""
    except psutil.Error:
        return ""
    if "pusher" in line or "monitor" in line:
        return "pusher" if "pusher" in line else "monitor"
    if " idle" in line or " processing" in line:
        return "worker"
    return "sentinel" if "qcluster" in above else "main"
