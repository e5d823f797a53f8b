"""Reads a dataset as it arrives: a JSON array of rows or one row per line, checked row by row. Pure.

The standard library's scanner does the parsing; this module feeds it a growing text, keeps each row's own
spelling, and says in words what is wrong with the first bad row. Memory is two rows and one chunk at most.
What is found, rows and refusal alike, does not depend on how the bytes are cut.
"""

from __future__ import annotations

import codecs
import json
import re
from dataclasses import dataclass
from enum import Enum
from typing import Any

from datasets.checking import (
    Duplicate,
    NotJsonNumber,
    RowError,
    check_row,
    duplicate_refusing_object,
    refuse_constant,
)

__all__ = ["DatasetParser", "ParseLimits", "Row", "RowError"]

_BLANK = re.compile(r"[ \t\r\n]*").match
_EXPECTED = "expected a JSON array of objects, or one JSON object per line"
_MEND = "save it as UTF-8 and upload it again"
_SHOWN = 80
_MAX_DIGITS = 4300
"""As many as Python turns into an integer by default."""
# The look-behind keeps the search from starting again at each digit of a long number.
_MANY_DIGITS = re.compile(rf"(?<![0-9])[0-9]{{{_MAX_DIGITS + 1}}}").search
# Values are only looked at, the row keeps its own text: a float is enough for a number, and has no limit of digits.
_scan = json.JSONDecoder(
    object_pairs_hook=duplicate_refusing_object, parse_constant=refuse_constant, parse_int=float
).raw_decode
_LITERALS = ("true", "false", "null", "NaN", "Infinity", "-Infinity")
_CUT_NUMBER_OR_ESCAPE = re.compile(r"\.|[eE][-+]?|u[0-9a-fA-F]{0,4}").fullmatch


@dataclass(frozen=True, slots=True)
class ParseLimits:
    """How large a row, how deep, and how many."""

    max_row_bytes: int = 1024 * 1024
    max_depth: int = 64
    max_rows: int = 5_000_000


@dataclass(frozen=True, slots=True)
class Row:
    """One checked row: its place (0 is the first) and its own JSON text on one line."""

    index: int
    raw: str


class _At(Enum):
    """What comes next."""

    MARK = "a byte-order mark, or the file's first character"
    START = "the file's first character"
    LINE = "a row on a line of its own"
    FIRST_ROW = "a row or the end of the array"
    ROW = "a row"
    SEPARATOR = "a comma or the end of the array"
    END = "nothing"


_NEXT = {
    (_At.START, "["): _At.FIRST_ROW,
    (_At.FIRST_ROW, "]"): _At.END,
    (_At.SEPARATOR, ","): _At.ROW,
    (_At.SEPARATOR, "]"): _At.END,
}


class DatasetParser:
    """Feed it bytes, take rows. Raises RowError at the first thing that is wrong; nothing may be fed after that."""

    def __init__(self, limits: ParseLimits | None = None) -> None:
        self._limits = limits or ParseLimits()
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._decoded_bytes = 0
        self._at = _At.MARK
        self._count = 0
        # What is not read yet, in pieces: a row that trickles in is put together anew only when it has doubled.
        self._waiting: list[str] = []
        # The first two characters together tell an encoding of two bytes and more.
        self._size, self._retry_at = 0, 2

    def feed(self, data: bytes) -> list[Row]:
        """The rows that became complete with these bytes; with tiny pieces some come a few pieces later."""
        return self._take(data, is_final=False)

    def close(self) -> list[Row]:
        """The rows that the end completes. Raises RowError when the file ends too early or has no row."""
        rows = self._take(b"", is_final=True)
        if self._at in (_At.MARK, _At.START):
            raise RowError(None, None, f"the file is empty; {_EXPECTED}", "empty")
        if self._at not in (_At.LINE, _At.END):
            message = "the file ends before its array does; it is cut off"
            raise RowError(self._count, None, message, "truncated")
        if self._count == 0:
            raise RowError(None, None, "the array is empty; expected at least one row", "no_rows")
        return rows

    def _take(self, data: bytes, *, is_final: bool) -> list[Row]:
        behind = len(self._decoder.getstate()[0])
        try:
            self._wait_for(self._decoder.decode(data, is_final))
        except UnicodeDecodeError as error:
            # What is wrong before the bad byte is said first.
            self._wait_for(bytes(error.object[: error.start]).decode())
            self._read(is_final=False)
            raise self._not_utf8(self._decoded_bytes - behind + error.start, error.object) from error
        self._decoded_bytes += len(data)
        if self._size < self._retry_at and not is_final:
            return []
        return self._read(is_final=is_final)

    def _wait_for(self, text: str) -> None:
        if text:
            self._waiting.append(text)
            self._size += len(text)

    def _not_utf8(self, place: int, data: bytes) -> RowError:
        if place == 0 and data[:1] in (b"\xff", b"\xfe"):
            return _wide()
        message = f"the file is not in UTF-8 (byte {place}); {_MEND}"
        return RowError(self._count, None, message, "wrong_encoding")

    def _read(self, *, is_final: bool) -> list[Row]:
        """Read what waits as far as it goes; the rows found. What is left waits on."""
        text, place, rows = "".join(self._waiting), 0, list[Row]()
        if self._at is _At.MARK and "\x00" in text[:2]:
            raise _wide()
        if self._at is _At.MARK and text:
            place, self._at = int(text[0] == "\ufeff"), _At.START
        while (place := _end_of_blank(text, place)) < len(text):
            letter = text[place]
            if self._at is _At.START and letter == "{":
                self._at = _At.LINE
            if self._at is _At.LINE or (letter == "{" and self._at in (_At.FIRST_ROW, _At.ROW)):
                found = self._row(text, place, is_final=is_final)
                if found is None:
                    break
                row, place = found
                rows.append(row)
            else:
                self._at = _NEXT.get((self._at, letter)) or self._refuse(letter)
                place += 1
        self._keep(text[place:])
        return rows

    def _keep(self, rest: str) -> None:
        self._waiting, self._size = [rest] * bool(rest), len(rest)
        room = self._limits.max_row_bytes - _bytes_in(rest)
        self._retry_at = min(2 * self._size, self._size + room + 1)

    def _refuse(self, letter: str) -> _At:
        """Say what is wrong with a character that begins no row."""
        if self._at is _At.START:
            raise RowError(None, None, f"the file begins with {letter!r}; {_EXPECTED}", "not_a_dataset")
        if self._at is _At.END:
            raise RowError(self._count, None, "there is text after the end of the array", "trailing_text")
        if self._at is _At.SEPARATOR:
            message = f"expected a comma before this row, or ] after the last one, not {letter!r}"
            raise RowError(self._count, None, message, "invalid_json")
        raise self._no_object(letter)

    def _no_object(self, letter: str) -> RowError:
        if letter in ",]":
            message = f"a row is missing before {letter!r}; expected {{…}}"
            return RowError(self._count, None, message, "invalid_json")
        message = f"a row begins with {letter!r}, so it is not a JSON object; expected {{…}}"
        return RowError(self._count, None, message, "row_not_object")

    def _row(self, text: str, start: int, *, is_final: bool) -> tuple[Row, int] | None:
        """The row that begins here and where it ends; None while it is incomplete."""
        limits = self._limits
        if self._count >= limits.max_rows:
            raise RowError(self._count, None, f"more than {limits.max_rows} rows", "too_many_rows")
        found = self._line(text, start, is_final) if self._at is _At.LINE else self._element(text, start)
        if found is None:
            self._refuse_large(text[start:].removesuffix("\r"))
            if is_final:
                raise RowError(self._count, None, "the file ends within this row; it is cut off", "truncated")
            return None
        value, raw, end = found
        self._refuse_large(raw)
        self._refuse_long_numbers(raw)
        check_row(self._count, value, raw, limits.max_depth)
        self._count += 1
        if self._at is not _At.LINE:
            self._at = _At.SEPARATOR
        return Row(self._count - 1, raw.replace("\n", " ").replace("\r", " ")), end

    def _element(self, text: str, start: int) -> tuple[Any, str, int] | None:
        found = self._scanned(text, start)
        return found and (found[0], text[start : found[1]], found[1])

    def _line(self, text: str, start: int, is_final: bool) -> tuple[Any, str, int] | None:
        end = text.find("\n", start)
        if end < 0 and not is_final:
            return None
        line = text[start : end if end >= 0 else len(text)].removesuffix("\r")
        self._refuse_large(line)
        if line[0] != "{":
            raise self._no_object(line[0])
        found = self._scanned(line, 0)
        if found is None:
            if end < 0:
                return None
            message = f"the object does not end on its line; {_EXPECTED}, line breaks in texts as \\n"
            raise RowError(self._count, None, message, "invalid_json" if self._count else "not_a_dataset")
        value, after = found
        if _end_of_blank(line, after) < len(line):
            check_row(self._count, value, line[:after], self._limits.max_depth)
            raise RowError(self._count + 1, None, "expected a new line before this row", "invalid_json")
        return value, line[:after], start + len(line)

    def _scanned(self, text: str, start: int) -> tuple[Any, int] | None:
        """The object that begins here and where it ends; None while it is incomplete."""
        problem: RowError
        try:
            return _scan(text, start)
        except json.JSONDecodeError as error:
            if _may_go_on(text, error):
                return None
            message = f"the row is not JSON: {error.msg}, {error.pos - start} characters into it"
            problem = RowError(self._count, None, message, "invalid_json")
        except Duplicate as error:
            key = _printable(error.key)
            problem = RowError(self._count, key, f"the key {key!r} stands twice", "duplicate_key")
        except NotJsonNumber as error:
            problem = RowError(self._count, None, f"the row holds {error}, which is not JSON", "invalid_json")
        except RecursionError:
            problem = RowError(self._count, None, "the row is nested too deeply", "too_deep")
        head = _head(text, start, self._limits.max_row_bytes)
        if len(head) < len(text) - start:
            # What is wrong past the limit does not count: in smaller pieces it would not even be read.
            return self._scanned(head, 0)
        raise problem

    def _refuse_large(self, raw: str) -> None:
        limit = self._limits.max_row_bytes
        if len(raw) > limit or (4 * len(raw) > limit and _bytes_in(raw) > limit):
            message = f"the row is larger than {limit} bytes (DPL_MAX_ROW_KB)"
            raise RowError(self._count, None, message, "row_too_large")

    def _refuse_long_numbers(self, raw: str) -> None:
        """Refuse integers that whoever reads the row with Python could not read."""
        if len(raw) > _MAX_DIGITS and _MANY_DIGITS(raw):
            lengths: list[int] = []
            json.loads(raw, parse_int=lambda digits: lengths.append(len(digits.lstrip("-"))))
            if max(lengths, default=0) > _MAX_DIGITS:
                message = f"the row holds a number of more than {_MAX_DIGITS} digits; write it as a text"
                raise RowError(self._count, None, message, "number_too_long")


def _wide() -> RowError:
    return RowError(None, None, f"the file is in UTF-16 or UTF-32 (byte 0); {_MEND}", "wrong_encoding")


def _end_of_blank(text: str, place: int) -> int:
    found = _BLANK(text, place)
    return found.end() if found else place


def _may_go_on(text: str, error: json.JSONDecodeError) -> bool:
    """Whether more text could mend this: it ends within a string, a literal, a number, an escape, or between."""
    tail = text[error.pos :].strip(" \t\r\n")
    return (
        error.msg.startswith("Unterminated string")
        or any(literal.startswith(tail) for literal in _LITERALS)
        or _CUT_NUMBER_OR_ESCAPE(tail) is not None
    )


def _bytes_in(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


def _head(text: str, start: int, size: int) -> str:
    """As many characters from here as `size` bytes hold."""
    return text[start : start + size].encode()[:size].decode(errors="ignore")


def _printable(key: str) -> str:
    """A key that can be shown in an answer: no half characters, not endless."""
    return key[:_SHOWN].encode("utf-8", "replace").decode().replace("\x00", "?")
