"""The threads in the background: they begin at once, go on after trouble, and a silent driver is no old news."""

from __future__ import annotations

import logging
import threading
import time

import pytest

from agent.gpus import GpuReading
from agent.sampling import GPU_SILENCE_S, QUICK_FOR_S, QUICK_SAMPLE_S, SAMPLE_S, Board, Loop, Sampler
from tests.agent.test_lock import Clock
from tests.machines import dead_url


def test_a_step_that_fails_is_logged_once_and_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    def step() -> float:
        raise OSError("dead disk")

    loop = Loop("disk", step, threading.Event(), 7.0)
    with caplog.at_level(logging.ERROR, "agent"):
        assert [loop.run_once() for _ in range(3)] == [7.0, 7.0, 7.0]
    assert [record.message for record in caplog.records] == ["the loop disk failed and goes on"]


def test_a_loop_steps_at_once_and_until_it_is_stopped() -> None:
    stop, steps = threading.Event(), []

    def step() -> float:
        steps.append(time.monotonic())
        return 0.01

    loop = Loop("quick", step, stop, 7.0)
    loop.start()
    while len(steps) < 3:
        time.sleep(0.005)
    stop.set()
    loop.join(2)
    assert not loop.is_alive()


def test_the_sampler_has_a_sample_as_soon_as_it_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Loop, "start", lambda self: None)
    sampler = Sampler(dead_url())
    sampler.start()
    assert sampler.board.machine.memory["total_bytes"]


def test_a_second_sample_with_rates_follows_soon() -> None:
    sampler = Sampler(dead_url())
    sampler.start()
    try:
        deadline = time.monotonic() + 15
        while sampler.board.machine.cpu_percent is None and time.monotonic() < deadline:
            time.sleep(0.02)
        assert sampler.board.machine.cpu_percent is not None
    finally:
        sampler.stop()


def test_samples_are_quicker_while_somebody_asks_more_often_than_they_are_taken() -> None:
    clock = Clock()
    board = Board(clock)
    assert not board.is_watched()
    for _ in range(3):
        clock.now += SAMPLE_S
        board.note_asked()
        assert not board.is_watched()
    clock.now += 1
    board.note_asked()
    assert board.is_watched()
    clock.now += QUICK_FOR_S
    assert not board.is_watched()


def test_the_interval_is_the_servers_and_never_longer_while_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    sampler = Sampler(dead_url())
    told: list[int] = []
    sampler.on_sample(lambda: told.append(1))
    sampler.set_interval(10.0)
    steps = [sampler._sample_machine() for _ in range(4)]
    assert (steps[2:], len(told)) == ([10.0, 10.0], 4)
    for _ in range(2):
        sampler.board.note_asked()
    assert sampler._sample_machine() == QUICK_SAMPLE_S
    sampler.set_interval(0.5)
    assert sampler._sample_machine() == 0.5


def test_a_driver_that_hangs_is_reported_instead_of_its_old_figures() -> None:
    clock = Clock()
    board = Board(clock)
    assert board.gpus.error == "the GPUs have not been asked yet"
    board.gpus = GpuReading(error=None)
    clock.now += GPU_SILENCE_S
    assert board.gpus == GpuReading()
    clock.now += 5
    assert board.gpus == GpuReading(error="the GPU driver has not answered for 35 s")
