"""GPUs that are none: figures that follow how busy a simulated engine is, for a demonstration without real ones."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from math import exp

from agent.clock import Clock, steady
from agent.fetch import get
from agent.gpus import GpuReading, GpuUnavailableError
from agent.gpus.rows import gpu_process, unknown_gpu
from agent.payloads import GpuPayload
from agent.processes import ProcessBook
from agent.wire import WireError

TIMEOUT_S = 1.0
MEMORY_BYTES = 24 * 1024**3
POWER_LIMIT_W = 350.0
_IDLE_W, _IDLE_C = 22.0, 36.0
_FULL_PERCENT, _FULL_W, _FULL_C = 97.0, 330.0, 78.0
_WARMING_S = 25.0
_DRIVER_BYTES = 400 * 1024**2
_CONTEXT_BYTES = 900 * 1024**2
_SLOWEST_MHZ, _FASTEST_MHZ = 300.0, 2400.0


@dataclass(frozen=True)
class Engine:
    """What a simulated engine tells of itself; `busy_seconds` only ever grows."""

    pid: int
    slots: int
    in_flight: int
    busy_seconds: float
    model_bytes: int


class SimulatedGpus:
    """A number of equal cards on which the engine at `engine_url` seems to run, each bearing its part."""

    vendor = "simulated"

    def __init__(
        self,
        engine_url: str,
        count: int,
        processes: ProcessBook,
        *,
        clock: Clock = steady,
        ask: Callable[[str], bytes] | None = None,
    ) -> None:
        self._url = f"{engine_url}/sim/stats"
        self._count = count
        self._book = processes
        self._clock = clock
        self._ask = ask or _ask
        self._before: tuple[float, float] | None = None
        self._warmth = 0.0
        self._read_at = clock()

    def read(self) -> GpuReading:
        """One sample."""
        engine = self._engine()
        load = self._load(engine)
        self._warm(load)
        return GpuReading(tuple(self._card(engine, place, load) for place in range(self._count)))

    def close(self) -> None:
        """The engine may have begun anew by the next read."""
        self._before = None

    def _engine(self) -> Engine:
        try:
            told = json.loads(self._ask(self._url))
            return Engine(**{name: told[name] for name in Engine.__dataclass_fields__})
        except (OSError, WireError, ValueError, KeyError, TypeError) as error:
            raise GpuUnavailableError(
                "the simulated GPUs follow the engine that OLLAMA_HOST names, and no simulator answers there: "
                f"{error or type(error).__name__}"
            ) from None

    def _load(self, engine: Engine) -> float:
        """The share of the engine's slots that was busy since the last read, 0 to 1; at first, that is busy now."""
        now, before = self._clock(), self._before
        self._before = now, engine.busy_seconds
        if before is None or now <= before[0] or engine.busy_seconds < before[1]:
            return min(1.0, engine.in_flight / engine.slots)
        return min(1.0, (engine.busy_seconds - before[1]) / (now - before[0]) / engine.slots)

    def _warm(self, load: float) -> None:
        """Let the cards grow warm or cool slowly, as metal does."""
        now = self._clock()
        self._warmth += (load - self._warmth) * (1 - exp((self._read_at - now) / _WARMING_S))
        self._read_at = now

    def _card(self, engine: Engine, place: int, load: float) -> GpuPayload:
        # The first of several has a little more to do, as it has where a model is spread over cards.
        part = load * (1 - 0.06 * place)
        held = (engine.model_bytes + engine.in_flight * _CONTEXT_BYTES) // self._count
        memory = min(MEMORY_BYTES - _DRIVER_BYTES, held)
        row: GpuPayload = {
            **unknown_gpu(self.vendor),
            "uuid": f"SIMULATED-{engine.pid}-{place}",
            "name": "Simulated GPU 24 GB",
            "utilization_percent": round(_FULL_PERCENT * part, 1),
            "memory_total_bytes": MEMORY_BYTES,
            "memory_used_bytes": _DRIVER_BYTES + memory,
            "temperature_c": round(_IDLE_C + (_FULL_C - _IDLE_C) * self._warmth - place, 1),
            "power_w": round(_IDLE_W + (_FULL_W - _IDLE_W) * part, 1),
            "power_limit_w": POWER_LIMIT_W,
            "clock_mhz": round(_SLOWEST_MHZ + (_FASTEST_MHZ - _SLOWEST_MHZ) * part),
            "throttle_reasons": [],
            "health": "OK",
            "processes": [gpu_process(self._book, engine.pid, memory)] if memory else [],
        }
        return row


def _ask(url: str) -> bytes:
    return get(url, timeout_s=TIMEOUT_S)[1]
