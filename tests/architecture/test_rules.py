"""Rules of the house that a linter does not know."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from pathlib import PurePosixPath

import pytest

from tests.architecture.tree import ROOT, is_one_of, sources, text, tree

HTTP_DOOR = PurePosixPath("dpl_site/lib/http.py")
CLIENTS = {
    "httpx.Client",
    "httpx.AsyncClient",
    "httpx.HTTPTransport",
    "httpx.AsyncHTTPTransport",
    "httpx.stream",
    *(f"{library}.{verb}" for library in ("httpx", "requests") for verb in ("get", "post", "put", "patch")),
    *(f"{library}.{verb}" for library in ("httpx", "requests") for verb in ("delete", "head", "request")),
    "requests.Session",
    "aiohttp.ClientSession",
    "aiohttp.TCPConnector",
    "aiohttp.request",
    "urllib.request.urlopen",
    "urllib.request.build_opener",
}
ENVIRONMENT = {"os.environ", "os.environb", "os.getenv"}
READS_THE_ENVIRONMENT = (
    "manage.py",
    "dpl_site/settings.py",
    "dpl_site/asgi.py",  # names the settings module
    "dpl_site/processes/*.py",
    "dpl_site/lib/parent.py",
)
# The agent is a distribution of its own, with settings of its own; benchmarks are programs of their own.
APART = ("agent", "benchmarks")
LOCKS = ("runtime", "dev", "slow")


def imported(module: ast.Module) -> dict[str, str]:
    """What each imported name of a module means: `{"e": "os.environ"}` for `from os import environ as e`."""
    known: dict[str, str] = {}
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            known |= {alias.asname: alias.name for alias in node.names if alias.asname}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            known |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return known


def full_name(node: ast.expr, known: dict[str, str]) -> str:
    """The name that an expression stands for, from its module on: `os.environ`; "" when it is no name."""
    if not isinstance(node, ast.Name | ast.Attribute):
        return ""
    first, dot, rest = ast.unparse(node).partition(".")
    return known.get(first, first) + dot + rest


def uses(path: PurePosixPath, wanted: set[str]) -> list[str]:
    """Where a module mentions one of these names."""
    return _found(path, wanted, [node for node in ast.walk(tree(path)) if isinstance(node, ast.expr)])


def calls(path: PurePosixPath, wanted: set[str]) -> list[str]:
    """Where a module calls one of these names; as a type they are free."""
    return _found(path, wanted, [node.func for node in ast.walk(tree(path)) if isinstance(node, ast.Call)])


def _found(path: PurePosixPath, wanted: set[str], nodes: Sequence[ast.expr]) -> list[str]:
    known = imported(tree(path))
    pairs = ((node.lineno, full_name(node, known)) for node in nodes)
    return sorted({f"{path}:{line} {name}" for line, name in pairs if name in wanted})


def test_it_makes_every_http_client_at_one_door() -> None:
    inside = [path for path in sources() if path != HTTP_DOOR and path.parts[0] not in APART]
    assert not [use for path in inside for use in calls(path, CLIENTS)]


def test_it_reads_the_environment_in_the_settings_only() -> None:
    inside = [path for path in sources() if path.parts[0] not in APART]
    others = [path for path in inside if not is_one_of(path, READS_THE_ENVIRONMENT)]
    assert not [use for path in others for use in uses(path, ENVIRONMENT)]


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("import os\nos.environ['A']", "os.environ"),
        ("import os as system\nsystem.getenv('A')", "os.getenv"),
        ("from os import environ as e\ne['A']", "os.environ"),
        ("import httpx as h\nh.AsyncClient()", "httpx.AsyncClient"),
        ("from aiohttp import ClientSession\nClientSession()", "aiohttp.ClientSession"),
        ("import urllib.request\nurllib.request.urlopen('x')", "urllib.request.urlopen"),
    ],
)
def test_it_sees_a_name_however_it_was_imported(code: str, name: str) -> None:
    module = ast.parse(code)
    known = imported(module)
    assert name in {full_name(node, known) for node in ast.walk(module) if isinstance(node, ast.expr)}


@pytest.mark.parametrize("lock", LOCKS)
def test_it_locks_with_hashes_and_without_addresses(lock: str) -> None:
    content = text(PurePosixPath(f"requirements/{lock}.txt"))
    assert "--hash=sha256:" in content
    assert not re.findall(
        r"^.*(?:https?://|--index-url|--extra-index-url|--find-links| @ ).*$", content, re.M
    )
    assert not re.findall(r"^[a-z0-9][^=\n]*(?:[<>~]=?|$)(?!.*==).*$", content, re.M)


def test_it_locks_the_same_versions_at_every_level() -> None:
    pins = {lock: _pins(lock) for lock in LOCKS}
    for lower, higher in (("runtime", "dev"), ("dev", "slow")):
        assert pins[lower].items() <= pins[higher].items(), f"{lower} and {higher} differ: run make lock"


def _pins(lock: str) -> dict[str, str]:
    content = (ROOT / "requirements" / f"{lock}.txt").read_text(encoding="utf-8")
    return dict(re.findall(r"^([A-Za-z0-9._-]+(?:\[[^]]*\])?)==([^ ;\\]+)", content, re.M))
