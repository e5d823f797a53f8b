"""Records wait in memory for a moment and are written once, whatever the database does."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
import uuid
from collections.abc import AsyncIterator, Callable

import pytest
from django.db import OperationalError

from dpl_site.lib.db import Threads
from inference import recorder
from inference.recorder import Batch, Load, Recorder
from inference.records import RequestRecord

INSTANCE = uuid.uuid4()


class Written:
    """A database that a test takes away."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self.is_away = False
        self.loses_answers = False
        self.threads: set[str] = set()
        self.takes_s = 0.0

    def __call__(self, *, batch: Batch) -> None:
        time.sleep(self.takes_s)
        self.threads.add(threading.current_thread().name)
        if self.is_away:
            raise OperationalError("gone")
        known = {one.number for one in self.batches}
        if not (batch.is_again and batch.number in known):
            self.batches.append(batch)
        if self.loses_answers:
            self.loses_answers = False
            raise OperationalError("the answer was lost")

    @property
    def ids(self) -> list[str]:
        return [record.request_id for batch in self.batches for record in batch.records]


def record(name: str) -> RequestRecord:
    return RequestRecord(request_id=name, at=0.0, path="/api/chat", outcome="ok", status=200)


Made = Callable[..., Recorder]


@pytest.fixture
async def written(monkeypatch: pytest.MonkeyPatch) -> Written:
    monkeypatch.setattr(recorder, "FLUSH_S", 0.0)
    monkeypatch.setattr(recorder, "AWAY_PAUSE_S", 0.0)
    return Written()


@pytest.fixture
async def made(written: Written) -> AsyncIterator[Made]:
    threads = Threads(1, "records")

    def make(load: Callable[[], Load] = Load, **more: int) -> Recorder:
        return Recorder(threads=threads, write=written, load=load, instance_id=lambda: INSTANCE, **more)

    yield make
    await asyncio.to_thread(threads.close)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 (what is waited for has no event)
            await asyncio.sleep(0.001)


async def test_what_is_added_is_written_in_order_by_a_thread_of_its_own(made: Made, written: Written) -> None:
    kept = made()
    task = asyncio.create_task(kept.run())
    for number in range(5):
        kept.add(record(str(number)))
    assert not written.batches
    await until(lambda: len(written.ids) == 5)
    assert written.ids == ["0", "1", "2", "3", "4"]
    assert all(name.startswith("records") for name in written.threads)
    task.cancel()


async def test_a_clean_end_writes_what_is_left(made: Made, written: Written) -> None:
    kept = made()
    kept.add(record("last"))
    await kept.close()
    assert written.ids == ["last"]


async def test_nothing_is_written_while_nothing_happens(made: Made, written: Written) -> None:
    kept = made()
    task = asyncio.create_task(kept.run())
    await asyncio.sleep(0.02)
    assert not written.batches
    task.cancel()


async def test_what_the_process_has_in_hand_is_told_when_it_changes(made: Made, written: Written) -> None:
    loads = [Load(), Load(2, {1: 3})]
    kept = made(load=lambda: loads[-1])
    await kept.close()
    assert [(batch.load.waiting, batch.load.in_flight) for batch in written.batches] == [(2, {1: 3})]
    await kept.close()
    loads.append(Load())
    await kept.close()
    assert [batch.load.waiting for batch in written.batches] == [2, 0]


async def test_records_wait_for_a_database_that_is_away(
    made: Made, written: Written, caplog: pytest.LogCaptureFixture
) -> None:
    kept = made()
    task = asyncio.create_task(kept.run())
    written.is_away = True
    kept.add(record("a"))
    await until(lambda: "wait for the database" in caplog.text)
    kept.add(record("b"))
    written.is_away = False
    await until(lambda: written.ids == ["a", "b"])
    task.cancel()


async def test_a_batch_whose_commit_was_not_answered_is_the_same_batch_again(
    made: Made, written: Written
) -> None:
    kept = made()
    written.loses_answers = True
    kept.add(record("a"))
    await kept.close()
    kept.add(record("b"))
    await kept.close()
    assert written.ids == ["a", "b"]


async def test_an_end_in_the_middle_of_a_writing_writes_nothing_twice(
    made: Made, written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, goes_on = threading.Event(), threading.Event()

    def slow(*, batch: Batch) -> None:
        begun.set()
        goes_on.wait(10)
        written(batch=batch)

    kept = made()
    monkeypatch.setattr(kept, "_write", slow)
    kept.add(record("a"))
    task = asyncio.create_task(kept.run())
    await until(begun.is_set)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    goes_on.set()
    await kept.close()
    assert written.ids == ["a"]


async def test_beyond_the_limit_records_are_dropped_counted_and_said(
    made: Made, written: Written, caplog: pytest.LogCaptureFixture
) -> None:
    kept = made(most_kept=3)
    for number in range(5):
        kept.add(record(str(number)))
    await kept.close()
    assert written.ids == ["0", "1", "2"]
    assert "2 records of requests were dropped" in caplog.text


async def test_what_no_database_took_at_the_end_is_said(
    made: Made, written: Written, caplog: pytest.LogCaptureFixture
) -> None:
    kept = made()
    written.is_away = True
    kept.add(record("a"))
    with caplog.at_level(logging.ERROR):
        await kept.close()
    assert "1 records of requests are lost" in caplog.text


async def test_when_very_many_come_some_are_counted_only_and_failures_have_room_of_their_own(
    made: Made, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(recorder, "FLUSH_S", 0.5)
    monkeypatch.setattr(recorder, "TELL_S", 0.0)
    kept = made(most_in_full=4)
    assert [kept.takes_in_full(is_good=True) for _ in range(3)] == [True, True, False]
    assert [kept.takes_in_full(is_good=False) for _ in range(3)] == [True, True, False]
    kept.add(record("a"))
    with caplog.at_level(logging.INFO):
        await kept.close()
    assert "2 requests are in the sums of usage and in the metrics" in caplog.text


async def test_while_requests_keep_coming_they_are_written_in_batches_not_a_few_at_a_time(
    made: Made, written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "FLUSH_S", 0.05)
    written.takes_s = 0.003
    kept = made()
    running = asyncio.create_task(kept.run())
    for number in range(200):
        kept.add(record(str(number)))
        await asyncio.sleep(0.001)
    running.cancel()
    await kept.close()
    assert written.ids == [str(number) for number in range(200)]
    assert len(written.batches) < 20


async def test_what_is_more_than_a_batch_does_not_wait_for_the_next_time(
    made: Made, written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "FLUSH_S", 0.2)
    monkeypatch.setattr(recorder, "BATCH", 10)
    kept = made()
    for number in range(35):
        kept.add(record(str(number)))
    running = asyncio.create_task(kept.run())
    await until(lambda: len(written.ids) >= 30)
    assert [len(batch.records) for batch in written.batches[:3]] == [10, 10, 10]
    running.cancel()
    await kept.close()
    assert len(written.ids) == 35
