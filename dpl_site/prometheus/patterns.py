"""The regular expressions that matchers may use: literals, `.`, `.*`, `.+` and alternatives. Pure.

No more than that, since what anybody sends must not keep a processor busy: matching takes time in proportion to
pattern and text, whatever they are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum

from dpl_site.prometheus.errors import QueryError

LONGEST = 2_000
_SPECIAL = frozenset("[](){}*+?^$|")


class Wild(Enum):
    """What stands for other characters: exactly one, or any number."""

    ONE = 1
    ANY = 2


Tokens = Sequence[str | Wild]


def matcher(pattern: str) -> Callable[[str], bool]:
    """Whether a whole text matches the pattern. Raises QueryError for what is not supported."""
    if len(pattern) > LONGEST:
        raise QueryError(f"a regular expression is longer than {LONGEST} characters")
    alternatives = [_tokens(part) for part in _alternatives(_bare(pattern))]
    return lambda text: any(_matches(tokens, text) for tokens in alternatives)


def _bare(pattern: str) -> str:
    """Without one pair of parentheses, and without anchors: matchers are anchored anyway."""
    bare = pattern.removeprefix("^").removesuffix("$") if not pattern.endswith("\\$") else pattern
    if bare.startswith("(") and bare.endswith(")") and not bare.endswith("\\)"):
        return bare[1:-1].removeprefix("?:")
    return bare


def _alternatives(pattern: str) -> list[str]:
    parts, current, is_escaped = [], "", False
    for character in pattern:
        if character == "|" and not is_escaped:
            parts.append(current)
            current = ""
        else:
            current += character
        is_escaped = character == "\\" and not is_escaped
    return [*parts, current]


def _tokens(pattern: str) -> Tokens:
    found: list[str | Wild] = []
    position = 0
    while position < len(pattern):
        character = pattern[position]
        following = pattern[position + 1 : position + 2]
        if character == "\\":
            if not following or following.isalnum():
                raise _unsupported(character + following)
            found.append(following)
            position += 2
        elif character == ".":
            found += {"*": [Wild.ANY], "+": [Wild.ONE, Wild.ANY]}.get(following, [Wild.ONE])
            position += 2 if following in ("*", "+") else 1
        elif character in _SPECIAL:
            raise _unsupported(character)
        else:
            found.append(character)
            position += 1
    return found


def _matches(tokens: Tokens, text: str) -> bool:
    """Two positions go forward; at a mismatch the latest ANY takes one character more."""
    at = token = 0
    any_token, any_at = -1, 0
    while at < len(text):
        wanted = tokens[token] if token < len(tokens) else None
        if wanted is Wild.ANY:
            any_token, any_at = token, at
            token += 1
        elif wanted is Wild.ONE or wanted == text[at]:
            token, at = token + 1, at + 1
        elif any_token >= 0:
            any_at += 1
            token, at = any_token + 1, any_at
        else:
            return False
    return all(one is Wild.ANY for one in tokens[token:])


def _unsupported(what: str) -> QueryError:
    return QueryError(
        f"the regular expression holds {what!r}: from DPL's own history only literals, ., .*, .+ and "
        "alternatives (a|b) can be matched; set PROMETHEUS_URL for the rest"
    )
