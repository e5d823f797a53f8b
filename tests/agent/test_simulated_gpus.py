"""Simulated GPUs: they follow the simulated engine, are named for what they are, and say when they cannot."""

from __future__ import annotations

import json
import os

import pytest

from agent.gpus import GpuUnavailableError
from agent.gpus.simulated import SimulatedGpus
from agent.gpus.survey import sources
from agent.processes import ProcessBook
from agent.simulator.control import stats
from agent.simulator.engine import Engine
from agent.simulator.options import parse_options


class Told:
    """A clock, and an engine of four slots that says what it is made to say."""

    def __init__(self) -> None:
        self.now = 100.0
        self.busy_seconds = 0.0
        self.in_flight = 0
        self.body: bytes | None = None

    def ask(self, url: str) -> bytes:
        if self.body is not None:
            return self.body
        said = {"pid": os.getpid(), "slots": 4, "model_bytes": 2 * 1024**3}
        return json.dumps({**said, "in_flight": self.in_flight, "busy_seconds": self.busy_seconds}).encode()

    def work(self, seconds: float, in_flight: int) -> None:
        self.now += seconds
        self.in_flight = in_flight
        self.busy_seconds += seconds * in_flight


def cards(told: Told, count: int = 1) -> SimulatedGpus:
    return SimulatedGpus("http://127.0.0.1:1", count, ProcessBook(), clock=lambda: told.now, ask=told.ask)


def test_an_idle_engine_leaves_its_gpus_idle_and_cool() -> None:
    (gpu,) = cards(Told()).read().gpus
    assert (gpu["utilization_percent"], gpu["temperature_c"]) == (0.0, 36.0)
    assert (gpu["name"], gpu["vendor"]) == ("Simulated GPU 24 GB", "simulated")


def test_work_shows_in_load_memory_power_and_in_time_in_heat() -> None:
    told = Told()
    source = cards(told)
    (idle,) = source.read().gpus
    told.work(2, in_flight=4)
    (busy,) = source.read().gpus
    told.work(200, in_flight=4)
    (warm,) = source.read().gpus
    assert busy["utilization_percent"] == 97.0
    assert busy["power_w"] == 330.0
    assert (busy["memory_used_bytes"] or 0) > (idle["memory_used_bytes"] or 0)
    assert (idle["temperature_c"] or 0) < (busy["temperature_c"] or 0) < (warm["temperature_c"] or 0) < 80


def test_the_load_is_that_since_the_last_reading() -> None:
    told = Told()
    source = cards(told)
    source.read()
    told.work(2, in_flight=2)
    told.in_flight = 0
    assert source.read().gpus[0]["utilization_percent"] == 48.5


def test_an_engine_that_began_anew_is_no_negative_load() -> None:
    told = Told()
    source = cards(told)
    told.work(10, in_flight=4)
    source.read()
    told.now, told.busy_seconds, told.in_flight = told.now + 2, 1.0, 0
    assert source.read().gpus[0]["utilization_percent"] == 0.0


def test_each_card_bears_its_part_and_names_the_engines_process() -> None:
    told = Told()
    told.in_flight = 4
    one, other = cards(told, 2).read().gpus
    assert (other["utilization_percent"] or 0) < (one["utilization_percent"] or 0)
    assert one["uuid"] != other["uuid"]
    assert [process["pid"] for process in one["processes"]] == [os.getpid()]


@pytest.mark.parametrize("body", [b"<html>", b"{}", b"[]", b'{"pid": 1}'])
def test_what_is_no_simulator_is_told_in_words(body: bytes) -> None:
    told = Told()
    told.body = body
    with pytest.raises(GpuUnavailableError, match="no simulator answers there"):
        cards(told).read()


def test_the_simulator_tells_all_that_its_gpus_ask_for() -> None:
    told = Told()
    told.body = json.dumps(stats(Engine(parse_options(["--slots", "3"])))).encode()
    assert len(cards(told).read().gpus) == 1


def test_they_take_the_place_of_real_ones_and_are_there_only_when_asked_for() -> None:
    assert [source.vendor for source in sources(2, "http://127.0.0.1:1")] == ["simulated"]
    assert "simulated" not in [source.vendor for source in sources()]
