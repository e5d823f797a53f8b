"""How a stretch of one node's history is packed into a row, and read again. Pure.

A block has a layout: the figures whose values it holds, in their order, as text. Raw blocks are records of one
reading each, so that one is added by adding bytes to the row: the milliseconds since the block's start, then a
value for each figure, all of four bytes, little-endian. Rolled-up blocks hold for each figure the counts, means,
lowest and highest values of all points, deflated. A value that is not known is NaN. Values keep seven digits.
"""

from __future__ import annotations

import math
import struct
import sys
import zlib
from array import array
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b

from nodes.measures import Figure
from nodes.rollups import MOST_FIGURES, RAW, Point, Tier

Layout = tuple[Figure, ...]
_UNKNOWN = math.nan
_BYTES = 4
_MOST_COUNT = 0xFFFF
_POINT_BYTES = 2 + 3 * _BYTES


class BrokenBlock(ValueError):
    """A row holds something that is no block."""


def layout_of(figures: Collection[Figure]) -> Layout:
    """The layout for these figures: the same for the same figures."""
    return tuple(sorted(figures))


@lru_cache(maxsize=1024)
def layout_text(layout: Layout) -> str:
    """A layout as it is kept. Subjects hold no control characters (`nodes.answers.clean`)."""
    return "\n".join(f"{metric}\t{subject}" for metric, subject in layout)


@lru_cache(maxsize=1024)
def layout_key(layout: Layout) -> int:
    """A number that stands for a layout; two that differ share one by chance in 2^63 only."""
    digest = blake2b(layout_text(layout).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


@lru_cache(maxsize=1024)
def layout_read(text: str) -> Layout:
    """The layout that `layout_text` was given."""
    pairs = (line.partition("\t") for line in text.split("\n") if line)
    return tuple(Figure(metric, subject) for metric, _, subject in pairs)


def pack_reading(layout: Layout, values: Mapping[Figure, float], offset_ms: int) -> bytes:
    """One record of a raw block."""
    return _record(len(layout)).pack(offset_ms, *(values.get(figure, _UNKNOWN) for figure in layout))


@lru_cache(maxsize=256)
def _record(figures: int) -> struct.Struct:
    return struct.Struct(f"<I{figures}f")


class RawBlock:
    """A raw block that was read. Raises BrokenBlock for bytes that are no whole records."""

    def __init__(self, layout: Layout, start_ms: int, data: bytes) -> None:
        self.layout = layout
        self._width = len(layout) + 1
        if len(data) % (_BYTES * self._width):
            raise BrokenBlock(f"{len(data)} bytes are no records of {len(layout)} figures")
        self._values = _floats(data)
        offsets = array("I", data)
        if sys.byteorder == "big":
            offsets.byteswap()
        self.times = [start_ms + offset for offset in offsets[:: self._width]]

    def values(self, figure: Figure) -> Sequence[float]:
        """One value for each of `times`, NaN where it is not known."""
        return self._values[1 + self.layout.index(figure) :: self._width]


def pack_points(tier: Tier, start_ms: int, series: Mapping[Figure, Iterable[Point]]) -> tuple[Layout, bytes]:
    """A rolled-up block of MOST_FIGURES figures at most, with its layout."""
    places = tier.block_ms // tier.step_ms
    layout = layout_of(series if len(series) <= MOST_FIGURES else _most_told(series))
    parts = []
    for figure in layout:
        counts, columns = [0] * places, [[_UNKNOWN] * places for _ in range(3)]
        for point in series[figure]:
            place = (point.t_ms - start_ms) // tier.step_ms
            counts[place] = min(point.readings, _MOST_COUNT)
            for column, value in zip(columns, point[2:], strict=True):
                column[place] = value
        parts.append(struct.pack(f"<{places}H{3 * places}f", *counts, *columns[0], *columns[1], *columns[2]))
    return layout, zlib.compress(b"".join(parts), 1)


def _most_told(series: Mapping[Figure, Iterable[Point]]) -> list[Figure]:
    told = {figure: sum(point.readings for point in points) for figure, points in series.items()}
    return sorted(told, key=lambda figure: (-told[figure], figure))[:MOST_FIGURES]


class RolledBlock:
    """A rolled-up block that was read. Raises BrokenBlock for bytes that are none."""

    def __init__(self, tier: Tier, layout: Layout, start_ms: int, data: bytes) -> None:
        self.layout = layout
        self._tier, self._start_ms = tier, start_ms
        self._places = tier.block_ms // tier.step_ms
        try:
            self._data = zlib.decompress(data)
        except zlib.error as error:
            raise BrokenBlock(str(error)) from error
        if len(self._data) != len(layout) * self._places * _POINT_BYTES:
            raise BrokenBlock(f"{len(self._data)} bytes are no block of {len(layout)} figures")

    def points(self, figure: Figure) -> list[Point]:
        """The points of one figure, by time."""
        return [Point._make(row) for row in self.rows(figure)]

    def rows(self, figure: Figure) -> Iterator[tuple[int, int, float, float, float]]:
        """The same as plain tuples, for sums over many."""
        places = self._places
        at = self.layout.index(figure) * places * _POINT_BYTES
        counts = struct.unpack_from(f"<{places}H", self._data, at)
        values = struct.unpack_from(f"<{3 * places}f", self._data, at + 2 * places)
        times = range(self._start_ms, self._start_ms + self._tier.block_ms, self._tier.step_ms)
        columns = values[:places], values[places : 2 * places], values[2 * places :]
        return (row for row in zip(times, counts, *columns, strict=True) if row[1])


def read_block(tier: Tier, figures: str, start_ms: int, data: bytes) -> RawBlock | RolledBlock:
    """What a row holds. Raises BrokenBlock."""
    layout = layout_read(figures)
    return RawBlock(layout, start_ms, data) if tier is RAW else RolledBlock(tier, layout, start_ms, data)


def _floats(data: bytes) -> array[float]:
    found = array("f", data)
    if sys.byteorder == "big":
        found.byteswap()
    return found
