"""Says an English sentence that was written down in another language, by the declared message that it was made from."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache

JOINT, COLON = "; ", ": "
KEPT = 4096
_HOLE = re.compile(r"%\((\w+)\)s")


class Sentences:
    """Declared messages with `%(name)s` for what differs, each with what it is in one language.

    A sentence may be several joined by semicolons, have a name and a colon before it, begin with a capital, end with a
    full stop, and hold others. What was not declared stays as it is: an engine's own words must. The pages' scripts do
    the same (`static/js/sentences.js`).
    """

    def __init__(self, table: Mapping[str, str], *, joint: str, colon: str, stop: str) -> None:
        """`joint`, `colon` and `stop` are the language's own marks between sentences, after a name and at the end."""
        self._table, self._marks = table, (joint, colon, stop)
        self._patterns = [(_pattern(message), message) for message in table if _HOLE.search(message)]
        self.told: Callable[[str], str] = lru_cache(KEPT)(self._told)

    def _told(self, text: str) -> str:
        """The sentence in the other language, as far as it is known."""
        left, done, is_known = text.split(JOINT), [], False
        while left:
            counts = range(len(left), 0, -1)
            found = next(
                ((count, one) for count in counts if (one := self._one(JOINT.join(left[:count])))), None
            )
            is_known = is_known or found is not None
            count, one = found or (1, left[0])
            done.append(one)
            del left[:count]
        return self._marks[0].join(done) if is_known else text

    def _one(self, text: str) -> str:
        """One sentence, with or without a name before it; empty when it is not known."""
        if found := self._matched(text):
            return found
        name, colon, rest = text.partition(COLON)
        if not colon or JOINT in name:
            return ""
        head, tail = self._matched(name), self._one(rest)
        # What follows a known beginning may be anybody's words, but then it ends where the next sentence begins.
        is_known = tail or (head and JOINT not in rest)
        return f"{head or name}{self._marks[1]}{tail or rest}" if is_known else ""

    def _matched(self, text: str) -> str:
        """By a declared message, as it stands or without capital and full stop; empty when there is none."""
        bare = text.removesuffix(".")
        for form in dict.fromkeys((text, bare, bare[:1].lower() + bare[1:])):
            if found := self._filled(form):
                return found if text in (form, bare) else found + self._marks[2]
        return ""

    def _filled(self, text: str) -> str:
        if text in self._table:
            return self._table[text]
        for pattern, message in self._patterns:
            if found := pattern.fullmatch(text):
                return self._table[message] % {
                    name: self.told(value) for name, value in found.groupdict().items()
                }
        return ""


def _pattern(message: str) -> re.Pattern[str]:
    """What a message looks like once it is made: a value is not empty, and goes not over a semicolon."""
    parts = _HOLE.split(message)
    return re.compile(
        "".join(
            f"(?P<{part}>(?:(?!{JOINT}).)+?)" if place % 2 else re.escape(part)
            for place, part in enumerate(parts)
        )
    )
