"""Runs the quick suite on a real PostgreSQL: the one DPL_TEST_DATABASE_URL names, else one of its own.

`python -m tests.on_postgres [pytest arguments]`; `make test-all` and CI call it.
"""

from __future__ import annotations

import os
import subprocess
import sys

from tests.chaos.postgres import OwnPostgres


def main() -> int:
    """The exit code of the suite."""
    if os.environ.get("DPL_TEST_DATABASE_URL"):
        return run(os.environ["DPL_TEST_DATABASE_URL"])
    server = OwnPostgres()
    server.start()
    try:
        return run(server.url)
    finally:
        server.stop()


def run(url: str) -> int:
    """Run pytest with this database."""
    environment = {**os.environ, "DPL_TEST_DATABASE_URL": url}
    return subprocess.run([sys.executable, "-m", "pytest", *sys.argv[1:]], env=environment).returncode


if __name__ == "__main__":
    sys.exit(main())
