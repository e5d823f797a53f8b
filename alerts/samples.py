"""The recent values that rules with a window are judged by, bounded in memory. Pure: the caller's clock, no rows.

Nothing here must outlive the process: how long a condition has held stands in rows. After a start a window is
judged when most of it has filled, by ticks or by `refill` from history; until then an alert stays as it is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from alerts.rules import NOTHING, WAITING, Measured, RuleSpec
from alerts.states import Aggregation

PARTS = 12
"""A window is kept in so many parts, whatever its length and however often it is fed."""
FILLED = 0.8
"""The share of a window that must be known before it is judged."""
MOST_WINDOWS = 100_000
"""Windows that are kept at most, about 1.5 kB each; a series beyond is judged by its last value."""

Key = tuple[int, int | None, str]
"""Rule, node (None: of no node), subject."""


@dataclass(slots=True)
class _Part:
    """The values of a twelfth of a window, summed up."""

    start_ms: int
    count: int
    total: float
    low: float
    high: float


class Window:
    """The values of one series over the last seconds."""

    __slots__ = ("_last", "_last_ms", "_parts", "_since_ms", "_width_ms")

    def __init__(self, window_s: int, now_ms: int) -> None:
        self._width_ms = max(1, window_s * 1000 // PARTS)
        self._parts: deque[_Part] = deque()
        self._since_ms = now_ms
        self._last, self._last_ms = 0.0, now_ms

    @property
    def last_ms(self) -> int:
        """When the latest value came."""
        return self._last_ms

    def add(self, value: float, at_ms: int) -> None:
        """One more value; after a gap as long as the window it fills anew."""
        if self._parts and at_ms - self._last_ms > self._width_ms * PARTS:
            self._parts.clear()
            self._since_ms = at_ms
        if not self._parts or at_ms >= self._parts[-1].start_ms + self._width_ms:
            self._parts.append(_Part(at_ms, 1, value, value, value))
            if len(self._parts) > PARTS + 1:
                self._parts.popleft()
        else:
            part = self._parts[-1]
            part.count += 1
            part.total += value
            part.low, part.high = min(part.low, value), max(part.high, value)
        self._last, self._last_ms = value, at_ms
        self._since_ms = min(self._since_ms, at_ms)

    def measured(self, rule: RuleSpec, now_ms: int, stale_ms: int) -> Measured:
        """What the rule's aggregation gives; no data when the latest value is older than `stale_ms`."""
        if not self._parts or now_ms - self._last_ms > stale_ms:
            return NOTHING
        if rule.aggregation is Aggregation.LAST:
            return Measured(self._last)
        window_ms = rule.window_s * 1000
        if now_ms - self._since_ms < window_ms * FILLED:
            return WAITING
        parts = [part for part in self._parts if part.start_ms + self._width_ms > now_ms - window_ms]
        if rule.aggregation is Aggregation.AVG:
            return Measured(sum(part.total for part in parts) / sum(part.count for part in parts))
        if rule.aggregation is Aggregation.MIN:
            return Measured(min(part.low for part in parts))
        return Measured(max(part.high for part in parts))


class Samples:
    """The windows of all series of the rules that have one."""

    def __init__(self, most: int = MOST_WINDOWS) -> None:
        self._most = most
        self._windows: dict[Key, Window] = {}
        self._shapes: dict[int, tuple[str, int]] = {}
        self.refused = 0
        """Series that found no room since the start."""

    def __len__(self) -> int:
        return len(self._windows)

    def measure(self, rule: RuleSpec, key: Key, value: float | None, now_ms: int, stale_ms: int) -> Measured:
        """Take in the value of this tick (None: there is none) and give what the rule is to be judged by."""
        if rule.aggregation is Aggregation.LAST or not rule.window_s:
            return Measured(value)
        window = self._window(rule, key, now_ms, is_wanted=value is not None)
        if window is None:
            return Measured(value)
        if value is not None:
            window.add(value, now_ms)
        return window.measured(rule, now_ms, stale_ms)

    def refill(self, rule: RuleSpec, key: Key, values: Iterable[tuple[int, float]]) -> None:
        """Fill a window that is new from older values, (epoch ms, value), oldest first."""
        for at_ms, value in values:
            window = self._window(rule, key, at_ms, is_wanted=True)
            if window is None:
                return
            window.add(value, at_ms)

    def forget(self, *, before_ms: int) -> None:
        """Drop the windows that got nothing since then: their series are gone."""
        for key in [key for key, window in self._windows.items() if window.last_ms < before_ms]:
            del self._windows[key]

    def _window(self, rule: RuleSpec, key: Key, now_ms: int, *, is_wanted: bool) -> Window | None:
        shape = (rule.metric, rule.window_s)
        if self._shapes.setdefault(rule.id, shape) != shape:
            # Another metric or length: what was gathered says nothing about it.
            self._shapes[rule.id] = shape
            for old in [old for old in self._windows if old[0] == rule.id]:
                del self._windows[old]
        window = self._windows.get(key)
        if window is None and is_wanted:
            if len(self._windows) >= self._most:
                self.refused += 1
                return None
            window = self._windows[key] = Window(rule.window_s, now_ms)
        return window
