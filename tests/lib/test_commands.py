"""Commands on an installation that is not there, or whose database fails: one sentence, no traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError

from datasets.management.commands import cleanup

COMMANDS = ["run x.json -o y.json", "cleanup", "unlock --all", "node list", "apikey list", "prune"]
ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("command", COMMANDS)
def test_an_installation_that_was_never_started_is_said_with_what_to_do(command: str, tmp_path: Path) -> None:
    environment = {name: text for name, text in os.environ.items() if name != "DATABASE_URL"}
    done = subprocess.run(
        [sys.executable, "manage.py", *command.split()],
        cwd=ROOT,
        env={**environment, "DPL_DATA_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "Start it: python manage.py up" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.django_db
def test_a_database_that_fails_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_: object) -> None:
        raise OperationalError("the server closed\n\tthe connection")

    monkeypatch.setattr(cleanup, "cleanup_all", fail)
    with pytest.raises(CommandError, match="the server closed the connection"):
        call_command("cleanup")
