"""How a `.env` file is read: NAME=value lines, comments, `export` and quotes; nothing is expanded. Pure."""

from __future__ import annotations

import re

_LINE = re.compile(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*?)\s*$")
_QUOTED = re.compile(r"""(["'])(.*?)\1\s*(?:\#.*)?$""")


def parse_dotenv(text: str) -> dict[str, str]:
    """The settings in a `.env` file's text; a name's last line counts, lines of other forms say nothing."""
    found = {}
    for line in text.splitlines():
        match = _LINE.match(line)
        if match is not None:
            found[match[1]] = _value(match[2])
    return found


def _value(raw: str) -> str:
    quoted = _QUOTED.match(raw)
    if quoted is not None:
        return quoted[2]
    return re.split(r"(?:^|\s)#", raw, maxsplit=1)[0].rstrip()
