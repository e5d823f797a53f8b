"""Readings that wait: bounded, oldest dropped and counted, and kept until they have arrived."""

from __future__ import annotations

import threading

from agent.outbox import LARGEST_CALL, MOST_PER_CALL, Outbox


def filled(count: int, most: int = 300, most_bytes: int = 1 << 20) -> Outbox:
    outbox = Outbox(most, most_bytes)
    for number in range(count):
        outbox.put(b"%d" % number)
    return outbox


def test_a_batch_is_the_oldest_first_and_stays_until_it_is_confirmed() -> None:
    outbox = filled(3)
    last, readings = outbox.batch()
    assert readings == [b"0", b"1", b"2"]
    assert outbox.batch() == (last, readings)
    outbox.put(b"3")
    outbox.confirm(last)
    assert outbox.batch()[1] == [b"3"]


def test_a_call_has_sixty_readings_at_most_and_no_more_bytes_than_a_call_may() -> None:
    assert len(filled(200).batch()[1]) == MOST_PER_CALL
    outbox = Outbox(300, 1 << 30)
    for _ in range(3):
        outbox.put(b"x" * (LARGEST_CALL - 10))
    assert len(outbox.batch()[1]) == 1


def test_the_oldest_go_when_it_is_full_and_are_counted() -> None:
    outbox = filled(10, most=4)
    assert (outbox.batch()[1], outbox.dropped) == ([b"6", b"7", b"8", b"9"], 6)
    heavy = Outbox(300, 100)
    for number in range(5):
        heavy.put(b"%d" % number * 40)
    assert (len(heavy), heavy.dropped) == (2, 3)


def test_a_batch_of_which_some_was_dropped_meanwhile_is_confirmed_all_the_same() -> None:
    outbox = filled(4, most=4)
    last, _ = outbox.batch()
    for number in range(4, 7):
        outbox.put(b"%d" % number)
    outbox.confirm(last)
    assert outbox.batch()[1] == [b"4", b"5", b"6"]


def test_what_is_too_large_goes_in_smaller_calls_and_one_that_is_too_large_alone_goes_away() -> None:
    outbox = filled(4)
    for _ in range(5):
        outbox.too_large()
    last, readings = outbox.batch()
    assert readings == [b"0"]
    outbox.too_large()
    assert (outbox.batch()[1], outbox.dropped) == ([b"1"], 1)
    outbox.confirm(last + 1)
    assert outbox.batch()[1] == [b"2", b"3"]


def test_who_waits_is_woken_by_a_reading() -> None:
    outbox = Outbox()
    assert not outbox.wait(0.0)
    threading.Timer(0.02, outbox.put, [b"1"]).start()
    assert outbox.wait(5.0)
