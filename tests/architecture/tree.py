"""The project's own files, as the tests of the house read them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parent.parent.parent
_NOT_OURS = {"var", "build", "dist", "node_modules", "staticfiles", "__pycache__"}


def _walk(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.name in _NOT_OURS or (path.name.startswith(".") and path.name != ".ci"):
            continue
        if path.is_dir():
            yield from _walk(path)
        else:
            yield path


@cache
def files(suffix: str) -> tuple[PurePosixPath, ...]:
    """Paths, from the root, of all files with this suffix that belong to the project."""
    return tuple(PurePosixPath(path.relative_to(ROOT)) for path in _walk(ROOT) if path.suffix == suffix)


@cache
def sources() -> tuple[PurePosixPath, ...]:
    """The modules of the product: no tests, no migrations."""
    return tuple(path for path in files(".py") if path.parts[0] != "tests" and "migrations" not in path.parts)


@cache
def text(path: PurePosixPath) -> str:
    """A file's content."""
    return (ROOT / path).read_text(encoding="utf-8")


@cache
def tree(path: PurePosixPath) -> ast.Module:
    """A module's syntax tree."""
    return ast.parse(text(path), filename=str(path))


def is_one_of(path: PurePosixPath, patterns: tuple[str, ...]) -> bool:
    """Whether the path has one of these forms, read from its end (`*/probe.py`: that file in any folder)."""
    return any(path.match(pattern) for pattern in patterns)
