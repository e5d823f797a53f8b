"""Which models the engine has, which of them are loaded, since when and until when. Pure: clock from outside."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

DEFAULT_KEEP_ALIVE_S = 300.0
FOREVER_S = 292 * 365.25 * 24 * 3600.0  # what a negative keep_alive means: the longest duration Go can write


@dataclass(frozen=True)
class Model:
    """A model on the engine's disk; its size is made up from the parameters its name tells of."""

    name: str

    @cached_property
    def digest(self) -> str:
        """The same for the same name, as a real one is for the same file."""
        return hashlib.sha256(self.name.encode()).hexdigest()

    @cached_property
    def parameters(self) -> float:
        """Thousands of millions of parameters, from a name such as llama3:8b; 1 where it tells nothing."""
        match = re.search(r"(\d+(?:\.\d+)?)b\b", self.name.lower())
        return float(match[1]) if match else 1.0

    @property
    def size(self) -> int:
        """Bytes, at four and a half bits per parameter."""
        return int(self.parameters * 1e9 * 4.5 / 8)

    @property
    def is_embedder(self) -> bool:
        """Whether it makes embeddings and does not chat."""
        return bool(re.search(r"embed|\bbge\b|minilm", self.name.lower()))

    @property
    def thinks(self) -> bool:
        """Whether it thinks before it answers."""
        return "think" in self.name.lower()

    @property
    def calls_tools(self) -> bool:
        """Whether it takes tools, and calls each of them."""
        return "tool" in self.name.lower()


@dataclass
class _Loaded:
    ready_at: float
    expires_at: float
    running: int = 0


class Residency:
    """The models and what is loaded of them. Expiry counts from the end of a model's last request."""

    def __init__(
        self, names: Sequence[str], clock: Callable[[], float], *, load_s: float, preload: bool
    ) -> None:
        self.models = {tagged(name): Model(tagged(name)) for name in names}
        self._asked = {name: self.models[tagged(name)] for name in names} | self.models
        self._clock = clock
        self._load_s = load_s
        self._loaded: dict[str, _Loaded] = {}
        if preload:
            self._loaded = {name: _Loaded(0.0, clock() + FOREVER_S) for name in self.models}

    def find(self, name: str) -> Model | None:
        """The model that a request means; `:latest` is understood."""
        return self._asked.get(name) or self.models.get(tagged(name))

    def loaded(self) -> list[tuple[Model, float]]:
        """The models that are loaded now, each with the seconds until it goes."""
        now = self._clock()
        self._expire(now)
        return [(self.models[name], state.expires_at - now) for name, state in self._loaded.items()]

    def enter(self, model: Model) -> float:
        """Begin a request for a model, loading it where it is cold. Returns the seconds until it is ready."""
        now = self._clock()
        self._expire(now)
        state = self._loaded.get(model.name)
        if state is None:
            state = self._loaded[model.name] = _Loaded(now + self._load_s, now + DEFAULT_KEEP_ALIVE_S)
        state.running += 1
        return max(0.0, state.ready_at - now)

    def leave(self, model: Model, keep_alive_s: float | None) -> None:
        """End a request for a model, which then stays for `keep_alive_s` (None: what it had; 0: it goes)."""
        state = self._loaded.get(model.name)
        if state is None:
            return
        now = self._clock()
        state.running -= 1
        if keep_alive_s is not None:
            state.expires_at = now + keep_alive_s
        elif state.expires_at < now + DEFAULT_KEEP_ALIVE_S:
            state.expires_at = now + DEFAULT_KEEP_ALIVE_S
        self._expire(now)

    def unload(self, model: Model) -> None:
        """Take a model out at once; requests that run on it end undisturbed."""
        self._loaded.pop(model.name, None)

    def _expire(self, now: float) -> None:
        gone = [name for name, s in self._loaded.items() if s.running <= 0 and s.expires_at <= now]
        for name in gone:
            del self._loaded[name]


def tagged(name: str) -> str:
    """A model's full name: without a tag it is the latest."""
    return name if ":" in name.rsplit("/", 1)[-1] else f"{name}:latest"
