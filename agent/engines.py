"""Which engines run on this machine: the one that is named, and those that answer on the usual ports of loopback."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from agent.clock import Clock, steady
from agent.engine import MAX_MODELS, EngineReading, EngineWatch

# Ollama, llama.cpp, vLLM, LM Studio, SGLang, text-generation-webui.
USUAL_PORTS = (11434, 8080, 8000, 1234, 30000, 5000)
ENGINE_S = 5.0
# A port where nobody listens costs nothing to try; one where something else answers keeps a log of who asks.
NOBODY_S = 30.0
OTHER_S = 600.0


@dataclass(frozen=True)
class EnginesReading:
    """What all engines have together, the named one's models first; `found` are addresses and kinds."""

    models: tuple[str, ...] = ()
    resident: tuple[str, ...] = ()
    found: tuple[tuple[str, str], ...] = ()


@dataclass
class _Candidate:
    """An address where an engine is, or may be."""

    watch: EngineWatch
    is_named: bool
    next_at: float = 0.0
    last: EngineReading = field(default_factory=EngineReading)


class EngineSurvey:
    """Asks every candidate in turn, each as often as what it was last time deserves. For one thread."""

    def __init__(self, named_url: str, ports: Iterable[int] = (), clock: Clock = steady) -> None:
        self._clock = clock
        urls = dict.fromkeys([named_url, *(f"http://127.0.0.1:{port}" for port in ports)])
        self._candidates = [_Candidate(EngineWatch(url, clock), url == named_url) for url in urls]

    def leave_out(self, port: int) -> None:
        """Ask no more at a port of this machine: it is the agent's own."""
        own = f"http://127.0.0.1:{port}"
        self._candidates = [one for one in self._candidates if one.is_named or one.watch.base_url != own]

    def read(self) -> EnginesReading:
        """What the engines have, asked now where it is time to."""
        for candidate in self._candidates:
            if self._clock() >= candidate.next_at:
                candidate.last = candidate.watch.read()
                candidate.next_at = self._clock() + _rest_s(candidate)
        present = [one for one in self._candidates if one.watch.kind is not None or one.last.models]
        return EnginesReading(
            models=_merged([one.last.models for one in present]),
            resident=_merged([one.last.resident for one in present]),
            found=tuple((one.watch.base_url, one.watch.kind) for one in present if one.watch.kind),
        )


def _rest_s(candidate: _Candidate) -> float:
    """Until when a candidate is left alone; a little less than a whole step, as steps are not exact."""
    if candidate.is_named or candidate.watch.kind is not None:
        return ENGINE_S / 2
    return OTHER_S if candidate.watch.answered else NOBODY_S


def _merged(lists: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for names in lists for name in names))[:MAX_MODELS]
