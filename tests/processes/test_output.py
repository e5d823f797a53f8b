"""Lines: cut, cleaned, bounded, never waited for."""

from __future__ import annotations

import os
import threading

from dpl_site.processes.output import LINE_LIMIT, QUEUE_LIMIT, LineCutter, Printer


def test_it_joins_what_came_in_pieces() -> None:
    cutter = LineCutter()
    assert cutter.feed(b"one\ntw") == ["one"]
    assert cutter.feed(b"o\r\n\n") == ["two", ""]
    assert cutter.close() == []


def test_it_keeps_a_character_whole_that_came_in_pieces() -> None:
    cutter = LineCutter()
    assert cutter.feed("中".encode()[:1]) == []
    assert cutter.feed("中".encode()[1:] + b"\xff\n") == ["中\ufffd"]


def test_it_bounds_a_line_and_says_what_is_cut() -> None:
    cutter = LineCutter()
    for _ in range(3):
        assert cutter.feed(b"x" * LINE_LIMIT) == []
    assert cutter.feed(b"\nnext\n") == ["x" * LINE_LIMIT + f" … {2 * LINE_LIMIT} bytes cut", "next"]


def test_it_lets_colours_pass_and_nothing_else_that_moves_a_terminal() -> None:
    cutter = LineCutter()
    assert cutter.feed(b"\x1b[31mred\x1b[0m\t\x1b]0;title\x07\x1b[2J\n") == [
        "\x1b[31mred\x1b[0m\t\ufffd]0;title\ufffd\ufffd[2J"
    ]


def test_it_drops_what_finds_no_room_counts_it_and_says_it_in_its_place() -> None:
    read, write = os.pipe()
    printer = Printer(write, lambda count: f"{count} dropped")
    line = "x" * 1023
    for _ in range(2 * QUEUE_LIMIT // 1024):
        printer.put(line)
    printer.put("important", is_important=True)
    got = bytearray()

    def read_all() -> None:
        while data := os.read(read, 65536):
            got.extend(data)

    reader = threading.Thread(target=read_all)
    reader.start()
    printer.close(10)
    os.close(write)
    reader.join()
    os.close(read)
    lines = got.decode().splitlines()
    kept = lines.count(line)
    assert kept <= QUEUE_LIMIT // 1024 + 64
    assert lines[kept:] == [f"{2 * QUEUE_LIMIT // 1024 - kept} dropped", "important"]


def test_it_does_not_wait_for_a_reader_when_it_closes() -> None:
    read, write = os.pipe()
    printer = Printer(write, str)
    printer.put("x" * 500_000)
    printer.close(0.05)
    os.close(read)
    printer._thread.join(5)
    assert not printer._thread.is_alive()
    os.close(write)
