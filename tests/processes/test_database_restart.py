"""A database server that is restarted under a running installation ends no process of it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dpl_site.processes.ports import free_port
from tests.chaos.postgres import OwnPostgres
from tests.processes.site_process import SiteProcess
from tests.processes.supervised import wait_until
from tests.processes.test_up import is_ready

pytestmark = pytest.mark.postgres


@pytest.fixture
def server() -> Iterator[OwnPostgres]:
    own = OwnPostgres().start()
    yield own
    own.stop()


def test_they_wait_for_it_and_go_on(server: OwnPostgres, tmp_path: Path) -> None:
    env = {"DATABASE_URL": server.url, "DPL_DATA_DIR": str(tmp_path)}
    tmp_path.chmod(0o700)
    started = [SiteProcess("migrate", env=env)]
    try:
        assert started[0].end(60) == 0
        port = free_port(0)
        started += [SiteProcess("web", "--port", str(port), env=env)]
        started += [SiteProcess(name, env=env) for name in ("controller", "worker")]
        wait_until(lambda: is_ready(port), 30)
        for _ in range(2):
            server.restart()
            wait_until(lambda: is_ready(port), 20)
            time.sleep(1)
        assert all(process.process.poll() is None for process in started[1:])
        assert not any("Traceback" in process.output for process in started[1:3])
        assert [process.stop() for process in started[1:]] == [0, 0, 0]
    finally:
        for process in started:
            process.close()
