"""Streams are passed on line by line, and no line is endless."""

from __future__ import annotations

import pytest

from inference.errors import ReplyTooLarge
from inference.lines import WholeLines


def test_whole_lines_pass_at_once_and_halves_wait_for_their_end() -> None:
    lines = WholeLines(100)
    assert lines.take(b"data: 1\n\n") == b"data: 1\n\n"
    assert lines.take(b"data: 2\n\nda") == b"data: 2\n\n"
    assert lines.take(b"ta:") == b""
    assert lines.take(b" 3\n\nd") == b"data: 3\n\n"
    assert lines.rest() == b"d"


def test_a_line_has_an_end() -> None:
    lines = WholeLines(10)
    lines.take(b"0123456789")
    with pytest.raises(ReplyTooLarge, match="line is longer than 10"):
        lines.take(b"x")
