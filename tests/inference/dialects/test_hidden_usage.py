"""The event that only DPL asked for is taken out of a stream, and nothing else is."""

from __future__ import annotations

import pytest

from inference.dialects.deltas import Usage
from inference.dialects.hidden_usage import HiddenUsage

WORDS = b'data: {"choices":[{"index":0,"delta":{"content":"a"}}],"usage":null}\n\n'
TOLD = b'data: {"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":7}}\n\n'
DONE = b"data: [DONE]\n\n"


@pytest.mark.parametrize(
    "pieces",
    [
        [WORDS + TOLD + DONE],
        [WORDS, TOLD, DONE],
        [WORDS, TOLD[:-1], b"\n" + DONE],
        [WORDS.replace(b"\n", b"\r\n"), TOLD.replace(b"\n", b"\r\n"), DONE],
    ],
)
def test_the_event_is_taken_out_however_the_lines_come(pieces: list[bytes]) -> None:
    hidden = HiddenUsage()
    passed = b"".join(hidden.take(piece) for piece in pieces)
    assert passed.replace(b"\r", b"") == WORDS + DONE
    assert hidden.usage == Usage(5, 7)


@pytest.mark.parametrize(
    "line",
    [
        b'data: {"choices":[{"index":0,"delta":{}}],"usage":{"prompt_tokens":5}}\n\n',
        b'data: {"choices":[],"usage":null}\n\n',
        b'data: {"choices":[],"prompt_filter_results":[],"usage":null}\n\n',
        b'data: {"choices":[{"delta":{"content":"say \\"usage\\""}}]}\n\n',
        b'data: {"usage"\n',
        b': "usage"\n\n',
        b"\n\n",
    ],
)
def test_what_else_there_is_stays_as_it_is(line: bytes) -> None:
    hidden = HiddenUsage()
    assert hidden.take(line) == line
    assert hidden.usage is None
