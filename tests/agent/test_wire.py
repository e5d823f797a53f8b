"""HTTP as bytes: what is a request, what is not, and how dates and chunks look."""

from __future__ import annotations

import pytest

from agent.wire import (
    WireError,
    body_length,
    chunk_size,
    http_date,
    join_chunks,
    parse_answer,
    parse_head,
    status_line,
)


def test_it_reads_a_head() -> None:
    head = parse_head(b"POST /a/b?c=d HTTP/1.1\r\nHost: x\r\nContent-Length:  5 \r\nX-Y: a: b")
    assert (head.method, head.path, head.query, head.keeps_alive) == ("POST", "/a/b", "c=d", True)
    assert head.headers == {"host": "x", "content-length": "5", "x-y": "a: b"}
    assert body_length(head.headers) == 5


@pytest.mark.parametrize(
    ("version", "connection", "keeps"),
    [("1.1", "", True), ("1.1", "close", False), ("1.0", "", False), ("1.0", "Keep-Alive", True)],
)
def test_who_wants_to_go_on(version: str, connection: str, keeps: bool) -> None:
    assert parse_head(f"GET / HTTP/{version}\r\nConnection: {connection}".encode()).keeps_alive is keeps


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"", 400),
        (b"GET /", 400),
        (b"GET / HTTP/1.1 x", 400),
        (b"G T / HTTP/1.1", 400),
        (b"GET  HTTP/1.1", 400),
        (b"GET / HTTP/2.0", 505),
        (b"GET / HTTP/1.1\r\nno colon", 400),
        (b"GET / HTTP/1.1\r\n folded: x", 400),
        (b"GET / HTTP/1.1\r\nContent-Length : 5", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6", 400),
    ],
)
def test_what_is_no_request_is_refused(raw: bytes, status: int) -> None:
    with pytest.raises(WireError) as caught:
        parse_head(raw)
    assert caught.value.status == status


@pytest.mark.parametrize("length", ["-1", "+5", "5.0", "0x5", "", "9" * 19, "５"])
def test_a_length_is_a_plain_number(length: str) -> None:
    with pytest.raises(WireError, match="Content-Length"):
        body_length({"content-length": length})


def test_it_reads_an_answer_with_its_chunks() -> None:
    assert parse_answer(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok") == (200, b"ok")
    chunked = (
        b"HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n"
    )
    assert parse_answer(chunked) == (404, b"abcde")


@pytest.mark.parametrize(
    "raw", [b"", b"SSH-2.0-OpenSSH\r\n\r\n", b"HTTP/1.1 xx OK\r\n\r\n", b"HTTP/1.1 200 OK\r\n"]
)
def test_what_is_no_answer_is_refused(raw: bytes) -> None:
    with pytest.raises(WireError):
        parse_answer(raw)


@pytest.mark.parametrize("raw", [b"", b"3\r\nab", b"3\r\nabc\r\n", b"z\r\nabc\r\n0\r\n\r\n", b"-1\r\n"])
def test_chunks_that_are_cut_short_are_refused(raw: bytes) -> None:
    with pytest.raises(WireError):
        join_chunks(raw)


def test_a_chunks_size_is_hexadecimal() -> None:
    assert chunk_size(b"1F") == 31
    with pytest.raises(WireError):
        chunk_size(b"0x1f")


def test_a_date_is_written_in_english_whatever_the_locale() -> None:
    assert http_date(0) == "Thu, 01 Jan 1970 00:00:00 GMT"
    assert http_date(1795259335) == "Sat, 21 Nov 2026 11:08:55 GMT"


def test_a_status_line_names_its_status() -> None:
    assert status_line(404) == "HTTP/1.1 404 Not Found"
    assert status_line(499) == "HTTP/1.1 499 "
