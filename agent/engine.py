"""Which models one engine has, asked in the background. Ollama's way first, then OpenAI's."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import NoneType

from agent.clock import Clock, steady
from agent.fetch import get
from agent.wire import WireError

TIMEOUT_S = 2.0
# A busy engine may miss a question; only one that stays silent this long has gone.
PATIENCE_S = 15.0
MAX_MODELS = 500
OLLAMA, OPENAI = "ollama", "openai"


@dataclass(frozen=True)
class EngineReading:
    """What the engine has: every model on its disk, and those loaded now. Empty where no engine answers."""

    models: tuple[str, ...] = ()
    resident: tuple[str, ...] = ()


class EngineWatch:
    """Asks one engine for its models. For one thread; each question ends within TIMEOUT_S.

    After a reading, `kind` is OLLAMA or OPENAI, or None where no engine answers, and `answered` whether
    anything did at all.
    """

    def __init__(self, base_url: str, clock: Clock = steady) -> None:
        self.base_url = base_url
        self._clock = clock
        self._last = EngineReading()
        self._answered_at = 0.0
        self._is_ollama = True
        self.kind: str | None = None
        self.answered = False

    def read(self) -> EngineReading:
        """What the engine has; for PATIENCE_S after an answer, the last known while it is too busy to say."""
        try:
            reading = self._ask()
        except TimeoutError:
            if self._clock() - self._answered_at > PATIENCE_S:
                self._last, self.kind, self.answered = EngineReading(), None, True
            return self._last
        except WireError:
            reading, self.kind, self.answered = EngineReading(), None, True
        except OSError:
            reading, self.kind, self.answered = EngineReading(), None, False
        self._last, self._answered_at = reading, self._clock()
        return reading

    def _ask(self) -> EngineReading:
        first, second = (self._ask_ollama, self._ask_openai)
        if not self._is_ollama:
            first, second = second, first
        reading = first()
        if reading is None:
            reading = second()
            self._is_ollama ^= reading is not None
        self.answered = True
        self.kind = None if reading is None else (OLLAMA if self._is_ollama else OPENAI)
        return reading or EngineReading()

    def _ask_ollama(self) -> EngineReading | None:
        tags = self._get("/api/tags")
        if tags is None or not _lists(tags, "models"):
            return None
        return EngineReading(
            _names(tags, "models", "name"), _names(self._get("/api/ps") or {}, "models", "name")
        )

    def _ask_openai(self) -> EngineReading | None:
        models = self._get("/v1/models")
        if models is None or not _lists(models, "data"):
            return None
        names = _names(models, "data", "id")
        # These servers list what they have loaded.
        return EngineReading(names, names)

    def _get(self, path: str) -> Mapping[str, object] | None:
        """The JSON object at a path of the engine; None where it answers with anything else."""
        status, raw = get(self.base_url + path, timeout_s=TIMEOUT_S)
        if status != 200:
            return None
        try:
            body = json.loads(raw)
        except (ValueError, RecursionError):
            return None
        return body if isinstance(body, dict) else None


def current_model(models: Sequence[str], resident: Sequence[str], wanted: str | None) -> str | None:
    """The model to report: the wanted one when an engine has it, else a loaded one, else the first."""
    if wanted is not None:
        for name in models:
            if _tagged(name) == _tagged(wanted):
                return name
    return next(iter([*resident, *models]), None)


def _lists(body: Mapping[str, object], field: str) -> bool:
    """Whether this is an engine's list: a fresh one may have nothing in it, or null."""
    return field in body and isinstance(body[field], list | NoneType)


def _names(body: Mapping[str, object], listed: str, field: str) -> tuple[str, ...]:
    rows = body.get(listed)
    if not isinstance(rows, list):
        return ()
    found = (row.get(field) for row in rows[:MAX_MODELS] if isinstance(row, dict))
    return tuple(name for name in found if isinstance(name, str) and name)


def _tagged(name: str) -> str:
    return name if ":" in name.rsplit("/", 1)[-1] else f"{name}:latest"
