"""Asks every vendor in turn and decides when one that failed is asked again."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from agent.clock import Clock, steady
from agent.gpus import GpuAbsentError, GpuReading, GpuSource, GpuUnavailableError, apple, ascend
from agent.gpus.amd import AmdGpus
from agent.gpus.apple import AppleGpus
from agent.gpus.ascend import AscendNpus
from agent.gpus.intel import IntelGpus
from agent.gpus.nvidia import NvidiaGpus
from agent.gpus.paced import Paced
from agent.gpus.simulated import SimulatedGpus
from agent.payloads import GpuPayload
from agent.processes import ProcessBook

FIRST_RETRY_S = 5.0
LONGEST_RETRY_S = 300.0

log = logging.getLogger("agent")


def sources(simulated: int = 0, engine_url: str = "") -> list[GpuSource]:
    """Every vendor that the agent knows and this system can have, in the order of their rows; in their place, where
    any are asked for, so many simulated GPUs that follow the simulated engine at `engine_url`."""
    book = ProcessBook()
    if simulated:
        return [SimulatedGpus(engine_url, simulated, book)]
    found: list[GpuSource] = [NvidiaGpus(processes=book)]
    if sys.platform == "linux":
        npus = Paced(AscendNpus(processes=book), ascend.EVERY_S)
        found += [AmdGpus(book), npus, IntelGpus(book)]
    if sys.platform == "darwin":
        found = [Paced(AppleGpus(), apple.EVERY_S)]
    return found


@dataclass
class _Standing:
    """How a vendor has fared: until when it rests, and why."""

    source: GpuSource
    rest_until: float = 0.0
    retry_s: float = FIRST_RETRY_S
    error: str | None = None
    is_absent: bool = False
    most: int = 0


class GpuSurvey:
    """Reads all vendors into one list.

    Guarantee: a vendor that fails is closed and left alone for 5 s, then twice as long each time up to 5
    minutes (an absent driver 5 minutes at once), and the others are read all the same. For one thread.
    """

    def __init__(self, vendors: Sequence[GpuSource], clock: Clock = steady) -> None:
        self._clock = clock
        self._vendors = [_Standing(source) for source in vendors]

    def read(self) -> GpuReading:
        """All GPUs of this machine. The error says what is wrong, or why there are none."""
        readings = [self._read_one(vendor) for vendor in self._vendors]
        gpus = tuple(self._placed(readings))
        told = [
            (reading.error, vendor.is_absent)
            for reading, vendor in zip(readings, self._vendors, strict=True)
            if reading.error is not None
        ]
        faults = [error for error, is_absent in told if not is_absent]
        # What is not there matters only where there is nothing else, neither a GPU nor a fault.
        errors = faults if faults or gpus else [error for error, _ in told]
        return GpuReading(gpus, "; ".join(errors) or None)

    def close(self) -> None:
        """Let go of every vendor's library."""
        for vendor in self._vendors:
            vendor.source.close()

    def _placed(self, readings: Sequence[GpuReading]) -> Iterator[GpuPayload]:
        """All rows with an index of their own. A vendor that falls silent keeps its places, so that the others'
        GPUs are not taken for other ones."""
        first = 0
        for vendor, reading in zip(self._vendors, readings, strict=True):
            vendor.most = max(vendor.most, len(reading.gpus))
            for position, gpu in enumerate(reading.gpus):
                yield {**gpu, "index": first + position}
            first += vendor.most

    def _read_one(self, vendor: _Standing) -> GpuReading:
        if self._clock() < vendor.rest_until:
            return GpuReading(error=vendor.error)
        try:
            reading = vendor.source.read()
        except GpuUnavailableError as error:
            return self._rest(vendor, error)
        vendor.retry_s, vendor.error, vendor.is_absent = FIRST_RETRY_S, None, False
        return (
            reading if reading.gpus or reading.error else replace(reading, error=_none_found(vendor.source))
        )

    def _rest(self, vendor: _Standing, error: GpuUnavailableError) -> GpuReading:
        vendor.source.close()
        vendor.is_absent = isinstance(error, GpuAbsentError)
        if vendor.error != str(error):
            log.log(logging.INFO if vendor.is_absent else logging.WARNING, "GPUs: %s", error)
        vendor.error = str(error)
        vendor.rest_until = self._clock() + (LONGEST_RETRY_S if vendor.is_absent else vendor.retry_s)
        vendor.retry_s = min(LONGEST_RETRY_S, vendor.retry_s * 2)
        return GpuReading(error=vendor.error)


def _none_found(source: GpuSource) -> str:
    return f"the {source.vendor} driver answers, but shows no GPU to this process"
