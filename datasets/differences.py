"""What differs between two texts, word by word, or character by character where a script has no spaces. Pure.

The time that it takes is bounded by MOST characters of each text; what comes after them is not looked at.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import groupby
from operator import itemgetter

MOST = 4000
LEAST_ALIKE = 0.2
"""Texts that have less in common are simply two texts: marks all over them would tell nothing."""
_NO_SPACES = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
"""Thai, Lao, Burmese, Khmer, kana and Han: written without spaces between words."""
# A number or a word with the space behind it, so that a space alone is never what two texts have in common.
_TOKEN = re.compile(
    rf"(?:[{_NO_SPACES}]|\d+(?:[.,:]\d+)*|[^\W\d{_NO_SPACES}][^\W{_NO_SPACES}]*|[^\w\s]|\s)\s*"
)
_WORD = re.compile(r"\w")


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a text: the other has it, too, or it has not."""

    text: str
    is_common: bool


@dataclass(frozen=True, slots=True)
class Marks:
    """Both texts in pieces, and how much of them is common, 0 to 1."""

    one: list[Piece]
    other: list[Piece]
    alike: float


def marks(one: str, other: str) -> Marks:
    """What of each text the other has not; texts with too little in common are one piece each."""
    left, right = tokens(one[:MOST]), tokens(other[:MOST])
    matcher = SequenceMatcher(None, _keys(left), _keys(right))
    runs = list(_without_crumbs(left, matcher.get_opcodes()))
    common = sum(end - begin for is_common, begin, end, _, _ in runs if is_common)
    alike = 2 * common / (len(left) + len(right)) if left or right else 1.0
    if alike < LEAST_ALIKE:
        return Marks([Piece(one[:MOST], False)], [Piece(other[:MOST], False)], alike)
    return Marks(
        _pieces(left, [(run[0], run[1], run[2]) for run in runs]),
        _pieces(right, [(run[0], run[3], run[4]) for run in runs]),
        alike,
    )


def tokens(text: str) -> list[str]:
    """The words of a text; joined they are the text."""
    return _TOKEN.findall(text)


def _keys(side: list[str]) -> list[str]:
    """What tokens are compared by: how much space is behind them does not matter."""
    return [token.rstrip() or " " for token in side]


_Run = tuple[bool, int, int, int, int]


def _without_crumbs(left: list[str], found: Sequence[tuple[str, int, int, int, int]]) -> Iterator[_Run]:
    """Runs that are common or not; a lone comma that is common between two changes belongs to them."""
    for place, (kind, *span) in enumerate(found):
        is_inner = 0 < place < len(found) - 1
        is_crumb = is_inner and not any(_WORD.search(token) for token in left[span[0] : span[1]])
        begin, end, other_begin, other_end = span
        yield kind == "equal" and not is_crumb, begin, end, other_begin, other_end


def _pieces(side: list[str], runs: list[tuple[bool, int, int]]) -> list[Piece]:
    """The side's text in as few pieces as the runs allow; space behind what differs is not marked."""
    found: list[Piece] = []
    for is_common, group in groupby(runs, key=itemgetter(0)):
        alike = list(group)
        text = "".join(side[alike[0][1] : alike[-1][2]])
        marked = "" if is_common else text.rstrip()
        _append(found, marked, is_common=False)
        _append(found, text[len(marked) :], is_common=True)
    return found


def _append(found: list[Piece], text: str, *, is_common: bool) -> None:
    if not text:
        return
    if found and found[-1].is_common == is_common:
        text = found.pop().text + text
    found.append(Piece(text, is_common))
