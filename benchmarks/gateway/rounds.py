"""Interleaved rounds: each contender in turn under the same load, several times, and the medians of what came."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

import orjson

from benchmarks.gateway.contenders import CORES, Contender
from benchmarks.gateway.load import Found, Load
from tests.engines.simulated import ROOT

PATHS = {"openai": "/v1/chat/completions", "ollama": "/api/chat"}


def ask(contender: Contender, connections: int, seconds: float, **more: Any) -> Found:
    """One load on one contender."""
    load = Load(
        port=contender.port,
        path=more.pop("path", PATHS["openai"]),
        model=more.pop("model", "instant"),
        key=contender.key,
        connections=connections,
        seconds=seconds,
        pids=contender.pids,
        **more,
    )
    command = [sys.executable, "-m", "benchmarks.gateway.load", orjson.dumps(asdict(load)).decode()]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as started:
        CORES.give_others(started.pid)
        out, _ = started.communicate()
    return Found(**orjson.loads(out))


@dataclass(frozen=True, slots=True)
class Figures:
    """What all rounds of one contender under one load gave."""

    rounds: Sequence[Found]

    def median_of(self, figure: Callable[[Found], float]) -> float:
        """The median over the rounds."""
        return median(figure(found) for found in self.rounds)

    @property
    def rate(self) -> float:
        """Answers per second."""
        return self.median_of(lambda found: found.rate)

    @property
    def chunks(self) -> float:
        """Chunks per second."""
        return self.median_of(lambda found: found.chunks / found.seconds)

    @property
    def processor_us(self) -> float:
        """The gateway's processor time per answer, microseconds."""
        return self.median_of(lambda found: 1e6 * found.processor_s / max(found.answers, 1))

    @property
    def processor_us_per_chunk(self) -> float:
        """The gateway's processor time per chunk, microseconds."""
        return self.median_of(lambda found: 1e6 * found.processor_s / max(found.chunks, 1))

    @property
    def errors(self) -> int:
        """Of all rounds."""
        return sum(found.errors for found in self.rounds)

    @property
    def p50_ms(self) -> float:
        """The median time of an answer."""
        return self.median_of(lambda found: found.p50_ms)

    @property
    def p99_ms(self) -> float:
        """What 1 % of the answers take longer than."""
        return self.median_of(lambda found: found.p99_ms)

    @property
    def gap_p99_ms(self) -> float:
        """What 1 % of the gaps between chunks are longer than."""
        return self.median_of(lambda found: found.gap_p99_ms)


@dataclass(frozen=True, slots=True)
class Plan:
    """How long everything takes."""

    rounds: int = 5
    seconds: float = 3.0
    stream_seconds: float = 5.0
    open_streams: int = 1_000
    streams_in_all: int = 100_000

    @classmethod
    def quick(cls) -> Plan:
        """For a look: seconds instead of minutes, and figures that say less."""
        return cls(rounds=2, seconds=1.0, stream_seconds=2.5, streams_in_all=5_000)


class Results:
    """Measures when asked: every contender once a round, in an order that changes."""

    def __init__(self, plan: Plan, contenders: Sequence[Contender]) -> None:
        self.plan, self.contenders = plan, contenders

    @property
    def ours(self) -> Contender:
        """DPL."""
        return self.contenders[0]

    def interleaved(
        self, connections: int, *, without: Sequence[str] = (), seconds: float = 0.0, **more: Any
    ) -> dict[str, Figures]:
        """Figures by name."""
        taking_part = [one for one in self.contenders if one.name not in without]
        found: dict[str, list[Found]] = {one.name: [] for one in taking_part}
        for number in range(self.plan.rounds):
            order = list(taking_part)
            random.Random(number).shuffle(order)
            for one in order:
                found[one.name].append(ask(one, connections, seconds or self.plan.seconds, **more))
        return {name: Figures(rounds) for name, rounds in found.items()}


def settle(contender: Contender) -> None:
    """Wait until a gateway that has just started answers without error."""
    while ask(contender, 4, 1.0).errors:
        continue
