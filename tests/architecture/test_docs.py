"""The documentation says what there is: every setting, command, target and path, both ways round."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import PurePosixPath

import pytest
from django.core.management import get_commands
from django.urls import Resolver404, URLPattern, URLResolver, get_resolver, resolve

from inference.surfaces import SURFACES
from tests.architecture.tree import ROOT, files, sources, text, tree

OURS = {"dpl_site", "accounts", "nodes", "inference", "datasets", "alerts"}
SAMPLES = ("1", "0193e4a2-7c1b-7000-8000-000000000001", "llama3:8b", "n1")


def docs() -> list[PurePosixPath]:
    """All pages under docs/."""
    pages = [path for path in files(".md") if path.parts[0] == "docs"]
    assert pages, "docs/ is missing"
    return pages


def prose() -> list[PurePosixPath]:
    """Every page that a user or contributor reads."""
    tops = [path for path in files(".md") if len(path.parts) == 1 and path.name != "CHANGELOG.md"]
    return [*tops, *docs()]


def mentioned(pattern: str, pages: list[PurePosixPath]) -> dict[str, str]:
    """What the pattern's first group finds, and a page where it does."""
    return {match: str(page) for page in pages for match in re.findall(pattern, text(page), re.M)}


def code(page: PurePosixPath) -> str:
    """What a page shows as code: its fenced blocks and inline spans, one per line."""
    blocks = re.findall(r"^```.*?\n(.*?)^```", text(page), re.M | re.S)
    return "\n".join([*blocks, *re.findall(r"`([^`\n]+)`", text(page))])


def none_of(found: set[str], what: str) -> None:
    """Fail with all that was found."""
    assert not found, f"{what}: {', '.join(sorted(found))}"


# --- Settings ---------------------------------------------------------------------------------------------


def settings_read() -> dict[str, bool]:
    """The names that dpl_site/settings.py reads, and whether each is a secret."""
    calls = [
        node for node in ast.walk(tree(PurePosixPath("dpl_site/settings.py"))) if isinstance(node, ast.Call)
    ]
    reads = [node for node in calls if ast.unparse(node.func).startswith("env.")]
    return {ast.literal_eval(node.args[0]): ast.unparse(node.func) == "env.secret" for node in reads}


def names_in_code() -> set[str]:
    """Every environment variable of ours that the code names, the agent's and the processes' too."""
    modules = [*sources(), PurePosixPath("tests/environment.py")]
    constants = (node for path in modules for node in ast.walk(tree(path)) if isinstance(node, ast.Constant))
    texts = (node.value for node in constants if isinstance(node.value, str))
    return {value for value in texts if re.fullmatch(r"DPL_[A-Z0-9_]+", value)}


def test_every_setting_is_documented() -> None:
    pages = "\n".join(text(page) for page in docs())
    missing = {name for name in settings_read() if not re.search(rf"\b{name}\b", pages)}
    # manage.py tells the settings by this which process they are for; nobody else sets it.
    none_of(missing - {"DPL_PROCESS"}, "settings that docs/ does not name")


def test_every_documented_setting_exists() -> None:
    files_of_secrets = {f"{name}_FILE" for name, is_secret in settings_read().items() if is_secret}
    known = settings_read().keys() | files_of_secrets | names_in_code()
    written = mentioned(r"\b(DPL_[A-Z0-9]+(?:_[A-Z0-9]+)*)\b", prose())
    none_of({f"{name} ({page})" for name, page in written.items() if name not in known}, "unknown settings")


# --- Commands and targets ---------------------------------------------------------------------------------


TARGET = r"(?:^|[ ;&])make ([a-z][a-z-]*)"
COMMAND = r"manage\.py ([a-z][a-z_]*)"


def test_every_documented_command_exists() -> None:
    written = mentioned(COMMAND, prose())
    assert written, "no page tells of a command"
    known = get_commands()
    none_of({f"{name} ({page})" for name, page in written.items() if name not in known}, "unknown commands")


def test_every_command_of_ours_is_documented() -> None:
    ours = {name for name, app in get_commands().items() if app in OURS}
    none_of(ours - mentioned(COMMAND, prose()).keys(), "commands that no page names")


def targets() -> set[str]:
    """The targets of the Makefile that are for people."""
    return set(re.findall(r"^([a-z][a-z-]*):.*## ", text(PurePosixPath("Makefile")), re.M))


def test_every_documented_target_exists() -> None:
    known = targets()
    written = {(name, page) for page in prose() for name in re.findall(TARGET, code(page), re.M)}
    none_of({f"{name} ({page})" for name, page in written if name not in known}, "unknown targets")


def test_every_target_is_documented() -> None:
    written = {name for page in prose() for name in re.findall(TARGET, code(page), re.M)}
    none_of(targets() - written - {"help"}, "targets that no page names")


# --- Paths ------------------------------------------------------------------------------------------------

API_PAGE = PurePosixPath("docs/api.md")
PATH = r"`(?:[A-Z]+(?:/[A-Z]+)* )?(/[a-z][^`\s?\[]*)"


def documented_paths() -> list[str]:
    """The paths in the tables of docs/api.md; sockets have routes of their own."""
    assert (ROOT / API_PAGE).exists(), "docs/api.md is missing"
    rows = [line for line in text(API_PAGE).splitlines() if line.startswith("|")]
    return [path for row in rows for path in re.findall(PATH, row) if not path.startswith("/ws/")]


def view_of(path: str) -> object:
    """What answers a documented path, whatever kind of value its {placeholders} take; None when nothing does."""
    if path in SURFACES:
        return SURFACES[path]
    for sample in SAMPLES:
        try:
            return resolve(re.sub(r"\{[^}]*\}", sample, path)).func
        except Resolver404:
            continue
    return None


def routes(resolver: URLResolver, prefix: str = "") -> Iterator[tuple[str, object]]:
    """Every route of the site with its view."""
    for entry in resolver.url_patterns:
        route = prefix + str(entry.pattern).removeprefix("^")
        if isinstance(entry, URLResolver):
            yield from routes(entry, route)
        elif isinstance(entry, URLPattern):
            yield route, entry.callback


def test_every_documented_path_is_served() -> None:
    paths = documented_paths()
    assert paths, "docs/api.md has no table of paths"
    none_of({path for path in paths if view_of(path) is None}, "documented paths that nothing serves")


def test_every_path_of_the_api_is_documented() -> None:
    known = [view_of(path) for path in documented_paths()]
    served = {
        route: view
        for route, view in routes(get_resolver())
        if route.startswith(("api/", "v1/", "health", "ready", "metrics")) and "format>" not in route
    }
    lacking = {route for route, view in served.items() if view not in known}
    none_of(
        lacking | {path for path in SURFACES if SURFACES[path] not in known}, "routes that docs/api.md lacks"
    )


# --- Links ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", files(".md"), ids=str)
def test_every_link_leads_somewhere(page: PurePosixPath) -> None:
    links = re.findall(r"\]\(<?([^)>\s]+)|(?:src|href)=\"([^\"]+)\"", text(page))
    local = {first or second for first, second in links if not re.match(r"[a-z]+:|#", first or second)}
    folder = (ROOT / page).parent
    none_of({link for link in local if not (folder / link.partition("#")[0]).exists()}, "dead links")
