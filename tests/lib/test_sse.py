"""Lines and events come out whole, wherever the network cut them."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpl_site.lib.sse import Events, Lines, LineTooLong

STREAM = (
    ': ping\r\n\r\ndata: {"a": "灯"}\n\nevent: node\nid: 7\ndata:second\r\n\r\ndata: line one\ndata: line two\n\n'
    "database: no\n\n\ndata: [DONE]\n\n"
).encode()
EVENTS = [b'{"a": "\xe7\x81\xaf"}', b"second", b"line one\nline two", b"[DONE]"]


def _pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


@given(st.lists(st.integers(min_value=0), max_size=40))
def test_it_gives_the_same_events_wherever_the_bytes_are_cut(cuts: list[int]) -> None:
    events = Events(1000)
    assert [event for piece in _pieces(STREAM, cuts) for event in events.feed(piece)] == EVENTS
    assert events.rest() == []


@given(st.lists(st.integers(min_value=0), max_size=20))
def test_it_ends_lines_at_lf_crlf_and_cr(cuts: list[int]) -> None:
    lines = Lines(1000)
    data = b"one\ntwo\r\nthree\rfour\r\n\r\nfive"
    assert [line for piece in _pieces(data, cuts) for line in lines.feed(piece)] == [
        b"one",
        b"two",
        b"three",
        b"four",
        b"",
    ]
    assert lines.rest() == b"five"


def test_it_gives_a_last_event_that_no_blank_line_ended() -> None:
    events = Events(1000)
    assert events.feed(b"data: [DONE]") == []
    assert events.rest() == [b"[DONE]"]


def test_it_bounds_a_line_that_never_ends() -> None:
    lines = Lines(10)
    lines.feed(b"0123456789")
    with pytest.raises(LineTooLong):
        lines.feed(b"x")


def test_it_bounds_an_event_of_many_lines() -> None:
    events = Events(20)
    with pytest.raises(LineTooLong):
        events.feed(b"data: 0123456789\n" * 3)


PLAIN = b'data: {"a": 1}\n\ndata: {"b": "x"}\n\ndata:  two\n\ndata: [DONE]\n\n'


@given(st.lists(st.integers(min_value=0), max_size=6))
def test_whole_events_of_one_line_each_are_the_same_as_any_others(cuts: list[int]) -> None:
    events = Events(1000)
    found = [event for piece in _pieces(PLAIN, cuts) for event in events.feed(piece)]
    assert found == [b'{"a": 1}', b'{"b": "x"}', b" two", b"[DONE]"]
    assert events.rest() == []


def test_an_event_of_several_lines_among_plain_ones_is_joined() -> None:
    assert Events(1000).feed(b"data: a\n\ndata: b\ndata: c\n\ndata: d\n\n") == [b"a", b"b\nc", b"d"]


def test_plain_events_have_the_same_limit() -> None:
    with pytest.raises(LineTooLong):
        Events(10).feed(b"data: 12345678901\n\n")
