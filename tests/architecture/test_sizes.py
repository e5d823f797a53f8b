"""How long a module and a function may be, and what must be said about them."""

from __future__ import annotations

import ast
from pathlib import PurePosixPath

from tests.architecture.tree import sources, text, tree

MODULE_LINES = 300
FUNCTION_LINES = 50
LOOPS = ("Loop", "Drain", "Controller", "Watchdog", "Supervisor")


def test_it_keeps_modules_short_enough_to_read() -> None:
    lengths = {path: len(text(path).splitlines()) for path in sources()}
    assert not [f"{path}: {lines} lines" for path, lines in lengths.items() if lines > MODULE_LINES]


def test_it_keeps_functions_short_enough_to_see() -> None:
    found = []
    for path in sources():
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > FUNCTION_LINES:
                    found.append(f"{path}:{node.lineno} {node.name}: {lines} lines")
    assert not found


def test_each_module_says_first_what_it_decides_or_owns() -> None:
    assert not [str(path) for path in sources() if not ast.get_docstring(tree(path))]


def test_each_loop_says_what_happens_on_kill_9() -> None:
    assert not [f"{path}: {name}" for path in sources() for name in _silent_loops(path)]


def _silent_loops(path: PurePosixPath) -> list[str]:
    classes = [node for node in ast.walk(tree(path)) if isinstance(node, ast.ClassDef)]
    loops = [node for node in classes if node.name.endswith(LOOPS)]
    return [node.name for node in loops if "kill -9" not in (ast.get_docstring(node) or "")]
