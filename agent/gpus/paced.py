"""Asks a vendor less often than the loop comes round, where asking costs more than reading a few files."""

from __future__ import annotations

from agent.clock import Clock, steady
from agent.gpus import GpuReading, GpuSource


class Paced:
    """Repeats the last reading until `every_s` have passed. Trouble is never repeated, it passes through."""

    def __init__(self, source: GpuSource, every_s: float, clock: Clock = steady) -> None:
        self.vendor = source.vendor
        self._source = source
        self._every_s = every_s
        self._clock = clock
        self._last: GpuReading | None = None
        self._at = 0.0

    def read(self) -> GpuReading:
        """The vendor's reading, `every_s` old at most."""
        if self._last is None or self._clock() - self._at >= self._every_s:
            self._last = None
            self._at = self._clock()
            self._last = self._source.read()
        return self._last

    def close(self) -> None:
        """Let go of the vendor's library and of what it said."""
        self._last = None
        self._source.close()
