"""The threads that measure this machine in the background; questions are answered from what they found."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

from agent.clock import Clock, steady
from agent.engines import ENGINE_S, EnginesReading, EngineSurvey
from agent.gpus import GpuReading
from agent.gpus.survey import GpuSurvey, sources
from agent.machine import MachineReader, MachineReading, SlowReading, read_slow_parts

SAMPLE_S = 2.0
# Rates need two samples: the second comes soon, so that a fresh agent does not long answer with nulls.
SECOND_SAMPLE_S = 0.5
# While somebody watches, and for so long after the last question.
QUICK_SAMPLE_S = 1.0
QUICK_FOR_S = 5.0
SLOW_PARTS_S = 30.0
GPU_SILENCE_S = 30.0

log = logging.getLogger("agent")


class Board:
    """The latest reading of each part. Each is replaced whole by one thread and read by any."""

    def __init__(self, clock: Clock = steady) -> None:
        self._clock = clock
        self.machine = MachineReading()
        self.slow = SlowReading()
        self.engines = EnginesReading()
        self._gpus = GpuReading(error="the GPUs have not been asked yet")
        self._gpus_at = clock()
        self._asked: tuple[float, float] = (-QUICK_FOR_S, -QUICK_FOR_S)

    def note_asked(self) -> None:
        """Somebody was just told what is here."""
        self._asked = (self._asked[1], self._clock())

    def is_watched(self) -> bool:
        """Whether somebody asks more often than samples are usually taken, and still did just now."""
        before, last = self._asked
        return last - before < 0.75 * SAMPLE_S and self._clock() - last < QUICK_FOR_S

    @property
    def gpus(self) -> GpuReading:
        """The last reading of the GPUs, or that there is none to trust because a driver hangs."""
        silence = self._clock() - self._gpus_at
        if silence > GPU_SILENCE_S:
            return GpuReading(error=f"the GPU driver has not answered for {silence:.0f} s")
        return self._gpus

    @gpus.setter
    def gpus(self, reading: GpuReading) -> None:
        self._gpus, self._gpus_at = reading, self._clock()


class Loop(threading.Thread):
    """Calls `step` at once and then again after the seconds that it returns, until stopped.

    Guarantee: a step that raises is logged and called again after `retry_s`; the loop never ends by itself.
    Writes no rows, only what its step puts on the board. On kill -9 nothing is left behind.
    """

    def __init__(self, name: str, step: Callable[[], float], stop: threading.Event, retry_s: float) -> None:
        super().__init__(name=name, daemon=True)
        self._step = step
        self._stop_event = stop
        self._retry_s = retry_s
        self._last_error = ""

    def run(self) -> None:
        """Step after step until the stop event is set."""
        while not self._stop_event.wait(self.run_once()):
            continue

    def run_once(self) -> float:
        """One step; returns the seconds to wait before the next."""
        try:
            delay = self._step()
        except Exception as error:
            # One line per kind of trouble: this comes back every two seconds.
            if repr(error) != self._last_error:
                log.exception("the loop %s failed and goes on", self.name)
            self._last_error = repr(error)
            return self._retry_s
        self._last_error = ""
        return delay


class Sampler:
    """Owns the board and the four loops that fill it: machine, GPUs, slow parts, engines.

    They are apart because a dead disk, a broken driver or a silent engine may each hang its own loop only.
    """

    def __init__(self, engine_url: str, engine_ports: Sequence[int] = (), *, simulated_gpus: int = 0) -> None:
        self.board = Board()
        self.engines = EngineSurvey(engine_url, engine_ports)
        self._stop = threading.Event()
        self._machine = MachineReader()
        self._gpus = GpuSurvey(sources(simulated_gpus, engine_url))
        self._machine_samples = 0
        self._interval_s = SAMPLE_S
        self._on_sample: Callable[[], None] = _nothing
        self._loops = [
            Loop("machine", self._sample_machine, self._stop, SAMPLE_S),
            Loop("gpus", self._sample_gpus, self._stop, SAMPLE_S),
            Loop("slow-parts", self._sample_slow_parts, self._stop, SLOW_PARTS_S),
            Loop("engines", self._sample_engines, self._stop, ENGINE_S),
        ]

    def on_sample(self, tell: Callable[[], None]) -> None:
        """Call `tell` after each sample of the machine, in the thread that took it."""
        self._on_sample = tell

    def set_interval(self, seconds: float) -> None:
        """Sample the machine and its GPUs this often from the next sample on."""
        self._interval_s = seconds

    def start(self) -> None:
        """Take the first sample of the machine now, then start the loops."""
        self._loops[0].run_once()
        for loop in self._loops:
            loop.start()

    def stop(self) -> None:
        """Tell the loops to end; they are daemons, so one that hangs holds nobody up."""
        self._stop.set()

    def _sample_machine(self) -> float:
        self.board.machine = self._machine.read()
        self._machine_samples += 1
        self._on_sample()
        return SECOND_SAMPLE_S if self._machine_samples <= 2 else self._rest_s()

    def _sample_gpus(self) -> float:
        self.board.gpus = self._gpus.read()
        return self._rest_s()

    def _rest_s(self) -> float:
        return min(self._interval_s, QUICK_SAMPLE_S) if self.board.is_watched() else self._interval_s

    def _sample_slow_parts(self) -> float:
        self.board.slow = read_slow_parts()
        return SLOW_PARTS_S

    def _sample_engines(self) -> float:
        self.board.engines = self.engines.read()
        return ENGINE_S


def _nothing() -> None:
    """What there is to do after a sample where nobody wants to know."""
