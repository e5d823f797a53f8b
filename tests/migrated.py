"""A SQLite file with every migration applied, made once for each state of the migrations; test processes copy it."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / ".pytest_cache"
DECIDE = (
    "*/migrations/*.py",
    "accounts/*.py",
    "dpl_site/settings.py",
    "dpl_site/config.py",
    "requirements/dev.txt",
)
"""What the file follows from: the migrations, and what runs after them."""


def copy_to(target: Path) -> None:
    """Put a migrated database there. Of processes that come at once one makes it, the others wait."""
    template = CACHE / f"migrated-{_state()}.sqlite3"
    CACHE.mkdir(exist_ok=True)
    with (CACHE / "migrated.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not template.exists():
            _make(template)
    shutil.copyfile(template, target)


def _state() -> str:
    digest = hashlib.sha256(sys.version.encode())
    for file in sorted(file for pattern in DECIDE for file in ROOT.glob(pattern)):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def _make(template: Path) -> None:
    for old in CACHE.glob("migrated-*"):
        old.unlink()
    fresh = template.with_suffix(".new")
    environment = {**os.environ, "DATABASE_URL": f"sqlite:///{fresh}"}
    command = [sys.executable, "manage.py", "migrate", "--verbosity", "0"]
    subprocess.run(command, cwd=ROOT, env=environment, check=True)
    fresh.rename(template)
