"""Makes the environments in which real clients run, apart from the site's own, which cannot hold them all.

`python -m tests.clients.environments` makes those that are missing; the suite makes each on its first use.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import venv
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HOME = ROOT / ".venv" / "clients"
JS = Path(__file__).parent / "js"
PYTHONS = ("openai2", "openai3")
NODE = "node"
LIMIT_S = 300


class Unavailable(Exception):
    """An environment that cannot be made on this machine, and why."""


def python(name: str) -> Path:
    """The interpreter of a Python environment, made anew when its lock file has changed."""
    lock = ROOT / "requirements" / "clients" / f"{name}.txt"
    folder = HOME / name
    program = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    if not _is_current(folder, lock):
        venv.create(folder, clear=True, with_pip=False)
        pip = [sys.executable, "-m", "pip", "--python", str(program), "install", "--quiet", "--no-compile"]
        _run([*pip, "--no-input", "--disable-pip-version-check", "--require-hashes", "-r", str(lock)], ROOT)
        _mark(folder, lock)
    return program


def node() -> Path:
    """The Node.js program, with the packages in `node_modules` beside its scripts. Raises Unavailable."""
    program, npm = shutil.which("node"), shutil.which("npm")
    if program is None or npm is None:
        raise Unavailable("Node.js and npm are not installed")
    folder, lock = JS / "node_modules", JS / "package-lock.json"
    if not _is_current(folder, lock):
        _run([npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], JS)
        _mark(folder, lock)
    return Path(program)


def _is_current(folder: Path, lock: Path) -> bool:
    stamp = folder / ".lock"
    return stamp.is_file() and stamp.read_text() == _hash(lock)


def _mark(folder: Path, lock: Path) -> None:
    (folder / ".lock").write_text(_hash(lock))


def _hash(lock: Path) -> str:
    """The lock file's, and the interpreter's, which an upgrade replaces."""
    return hashlib.sha256(lock.read_bytes() + sys.version.encode()).hexdigest()


def _run(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=LIMIT_S)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")


def main() -> None:
    """Make all, side by side, and say which cannot be made."""
    with ThreadPoolExecutor() as pool:
        made = [pool.submit(python, name) for name in PYTHONS]
        try:
            pool.submit(node).result()
        except Unavailable as reason:
            sys.stdout.write(f"The clients for Node.js are left out: {reason}.\n")
        for one in made:
            one.result()


if __name__ == "__main__":
    main()
