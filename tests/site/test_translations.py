"""The Chinese of the pages: every string has one, none lost its placeholders, and the compiled file is the current one.

gettext's tools are not on every machine, so the compiled file is committed beside its source.
"""

from __future__ import annotations

import ast
import gettext
import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from django.utils.translation.template import templatize

from tests.architecture.tree import ROOT, files, sources, text, tree

FOLDER = ROOT / "locale" / "zh_Hans" / "LC_MESSAGES"
RECOMPILE = (
    "run: manage.py makemessages -l zh_Hans --no-location, translate what is new, manage.py compilemessages"
)
PLACEHOLDER = re.compile(r"%\(\w+\)\w|\{\w+\}|%s|<[^>]+>")
PLAIN = {"gettext", "gettext_lazy", "_", "ngettext", "ngettext_lazy"}
WITH_CONTEXT = {"pgettext", "pgettext_lazy"}


def compiled() -> dict[str, str]:
    """Message (after its context and \\x04, when it has one) → its Chinese."""
    with (FOLDER / "django.mo").open("rb") as file:
        catalogue = gettext.GNUTranslations(file)._catalog  # type: ignore[attr-defined]  # there is no public way
    pairs = ((key[0] if isinstance(key, tuple) else key, value) for key, value in catalogue.items())
    return {key: value for key, value in pairs if key}


def written() -> dict[str, str]:
    """The same from the source."""
    found = {}
    for block in (FOLDER / "django.po").read_text(encoding="utf-8").split("\n\n"):
        parts: dict[str, str] = {}
        current = ""
        for line in block.splitlines():
            name, quote, rest = line.partition('"')
            if quote and not line.startswith("#"):
                current = name.strip() or current
                parts[current] = parts.get(current, "") + ast.literal_eval(quote + rest)
        key = "\x04".join(parts[name] for name in ("msgctxt", "msgid") if name in parts)
        found[key] = parts.get("msgstr", parts.get("msgstr[0]", ""))
    return {key: value for key, value in found.items() if key}


def marked(module: ast.Module) -> Iterator[str]:
    """The messages that a module marks for translation."""
    for node in ast.walk(module):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            given = [one.value for one in node.args if isinstance(one, ast.Constant)]
            texts = [one for one in given if isinstance(one, str)]
            if node.func.id in WITH_CONTEXT:
                yield "\x04".join(texts[:2])
            elif node.func.id in PLAIN and texts:
                yield texts[0]


def wanted() -> dict[str, PurePosixPath]:
    """Every message of the site, and where it stands."""
    ours = [path for path in sources() if path.parts[0] not in ("agent", "benchmarks")]
    found = {message: path for path in ours for message in marked(tree(path))}
    for path in files(".html"):
        if path.parts[0] == "templates":
            calls = re.findall(
                r"\bp?gettext\(.*?\)(?=\s)", f"{templatize(text(path), origin=str(path))} ", re.S
            )
            for call in calls:
                found[ast.literal_eval(re.sub(r"^gettext\(u?(.*)\)$", r"\1", call, flags=re.S))] = path
    return found


def test_every_string_of_the_pages_has_its_chinese() -> None:
    known = compiled()
    missing = {f"{message!r} ({path})" for message, path in wanted().items() if not known.get(message)}
    assert not missing, RECOMPILE


def test_it_finds_strings_in_templates_and_in_code() -> None:
    found = wanted()
    assert found["Latest jobs"] == PurePosixPath("templates/overview/page.html")
    assert found["state\x04online"] == PurePosixPath("dpl_site/templatetags/show.py")
    assert found["since %(time)s"] == PurePosixPath("templates/overview/_host.html")


def test_the_compiled_file_is_the_source() -> None:
    assert compiled() == written(), RECOMPILE


def test_translations_keep_their_placeholders() -> None:
    for message, chinese in written().items():
        original = message.rpartition("\x04")[2]
        assert sorted(PLACEHOLDER.findall(chinese)) == sorted(PLACEHOLDER.findall(original)), message
