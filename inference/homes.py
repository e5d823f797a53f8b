"""Remembers which engine answered a conversation last, in this process: the engine remembers its beginning. Pure."""

from __future__ import annotations

from collections import OrderedDict

MOST = 10_000
"""Conversations that are remembered; those that were not heard of for longest are forgotten."""


class Homes:
    """Conversations by the hash of their beginning, each with its engine."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._engines: OrderedDict[int, int] = OrderedDict()

    def of(self, prefix: int) -> int | None:
        """The engine that answered last; None for a conversation that is new, or is none (0)."""
        return self._engines.get(prefix)

    def note(self, prefix: int, engine_id: int) -> None:
        """An engine answered."""
        if not prefix:
            return
        self._engines[prefix] = engine_id
        self._engines.move_to_end(prefix)
        if len(self._engines) > self._most:
            self._engines.popitem(last=False)
