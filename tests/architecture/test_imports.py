"""The direction of imports, as pyproject.toml draws it."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path, PurePosixPath

from tests.architecture.tree import ROOT, sources, text

PACKAGES = ("dpl_site", "accounts", "nodes", "inference", "datasets", "alerts", "agent")
LINTER = "from importlinter.cli import lint_imports_command; lint_imports_command()"


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run import-linter on the pyproject.toml of this folder."""
    command = [sys.executable, "-c", LINTER, "--no-cache", "--no-logo"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


def test_it_keeps_every_import_contract() -> None:
    done = lint(ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


def test_it_would_see_an_import_against_the_direction(tmp_path: Path) -> None:
    """The contracts themselves, on a house of empty rooms where a lower room imports a higher one."""
    done = lint(house(tmp_path, accounts="import nodes"))
    assert done.returncode == 1
    assert "accounts is not allowed to import nodes" in done.stdout


def test_it_would_see_anybody_import_alerts(tmp_path: Path) -> None:
    done = lint(house(tmp_path, datasets="import alerts"))
    assert done.returncode == 1
    assert "Nobody imports alerts BROKEN" in done.stdout


def test_it_would_see_the_agent_import_the_site(tmp_path: Path) -> None:
    done = lint(house(tmp_path, agent="import dpl_site.lib"))
    assert done.returncode == 1
    assert "The agent stands alone BROKEN" in done.stdout


def house(folder: Path, **rooms: str) -> Path:
    """The project's modules, all empty but for these packages, under the project's own contracts."""
    shutil.copy(ROOT / "pyproject.toml", folder)
    for module in (*(path for path in sources() if path.parts[0] in PACKAGES), *_modules_under_contract()):
        (folder / module).parent.mkdir(parents=True, exist_ok=True)
        (folder / module).touch()
    for package in PACKAGES:
        (folder / package / "__init__.py").write_text(rooms.get(package, "") + "\n", encoding="utf-8")
    return folder


def _modules_under_contract() -> set[PurePosixPath]:
    settings = tomllib.loads(text(PurePosixPath("pyproject.toml")))["tool"]["importlinter"]
    names = {name for contract in settings["contracts"] for name in contract.get("source_modules", ())}
    return {PurePosixPath(*name.split("."), "__init__.py") for name in names}
