"""Which requests fail, and how: at random, by a header, by a mark in the prompt. Pure but for its dice."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Sequence

REFUSE = "refuse"
BUSY = "503"
BROKEN = "500"
HANG = "hang"
CUT = "cut"
NO_TERMINATOR = "no-terminator"
SLOW_START = "slow-first-token"
SILENT = "silent"

FAULTS = {
    REFUSE: "the connection is accepted and reset at once",
    BUSY: "503, as from an engine that is full",
    BROKEN: "500, as from an engine whose runner died",
    HANG: "accepted and never answered",
    CUT: "the connection is closed in the middle of the answer",
    NO_TERMINATOR: "the answer ends cleanly, but without its last part",
    SLOW_START: "the first token takes very long",
    SILENT: "the head of a stream comes, and nothing after it",
}
HEADER = "x-sim-fault"
_MARK = re.compile(r"\[\[sim:([a-z0-9-]+)\]\]")


class UnknownFaultError(ValueError):
    """A fault was asked for that does not exist; the text names those that do."""


class FaultDice:
    """Decides request by request, and counts what it decided."""

    def __init__(self, kinds: Sequence[str], rate: float, seed: int | None = None) -> None:
        self._random = random.Random(seed)
        self.counts: Counter[str] = Counter()
        self.kinds: tuple[str, ...] = ()
        self.rate = 0.0
        self.set(kinds, rate)

    def set(self, kinds: Sequence[str], rate: float) -> None:
        """From now on a share `rate` of the requests fails, each in one of these ways."""
        for kind in kinds:
            known(kind)
        self.kinds = tuple(kinds)
        self.rate = rate if kinds else 0.0

    @property
    def is_down(self) -> bool:
        """Whether the engine plays dead: every connection is reset, whatever it asks for."""
        return self.rate >= 1 and self.kinds == (REFUSE,)

    def choose(self, header: str | None, prompt: str) -> str | None:
        """How this request fails, None when it does not. Its own wish goes before the dice."""
        kind = known(header) if header else self._marked(prompt) or self._rolled()
        if kind is not None:
            self.counts[kind] += 1
        return kind

    def _marked(self, prompt: str) -> str | None:
        if "[[sim:" not in prompt:
            return None
        match = _MARK.search(prompt)
        return match[1] if match is not None and match[1] in FAULTS else None

    def _rolled(self) -> str | None:
        if self.rate <= 0 or self._random.random() >= self.rate:
            return None
        return self._random.choice(self.kinds)


def known(kind: str) -> str:
    """The fault of this name; UnknownFaultError where there is none."""
    name = kind.strip().lower()
    if name not in FAULTS:
        raise UnknownFaultError(f"there is no fault {kind!r}; there are {', '.join(FAULTS)}")
    return name
