"""Keeps what nodes measured: adds readings, rolls them up, removes what is old. The only writer of HistoryBlock.

Everything follows from rows: a row that the next tier does not hold yet says so (`is_rolled`), and rolling up a
stretch makes its block anew from all rows of the tier below, so that doing it twice changes nothing. A kill -9
loses no reading that was committed.
"""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Q

from dpl_site.lib.db import now_ms
from nodes.blocks import (
    BrokenBlock,
    Layout,
    RawBlock,
    RolledBlock,
    layout_key,
    layout_of,
    layout_text,
    pack_points,
    pack_reading,
    read_block,
)
from nodes.last_told import last_told
from nodes.measures import Figure, figures
from nodes.models import HistoryBlock
from nodes.payloads import Status
from nodes.rollups import DAY_MS, MOST_FIGURES, RAW, TIERS, Buckets, Point, Tier, next_tier

MOST_BYTES = 64 * 1024
"""A raw row grows no further: nobody has so many readings in twenty seconds."""
ROLL_WITHIN_S = 0.02
MOST_PRUNED = 100
PAST_AGE_MS = 50 * 60_000
"""Older readings are not taken: what they would have to be rolled up with may be gone."""
AHEAD_MS = 5_000
_MOST_LOOKED_AT = 400

logger = logging.getLogger(__name__)


class Told(NamedTuple):
    """What a node told at a moment by the database's clock."""

    node_id: int
    at_ms: int
    status: Status


def record_readings(*, told: Sequence[Told]) -> None:
    """Add readings that were just taken, in the caller's transaction.

    One whose agent has not measured anew since the last is left out: what stands still shows as a gap.
    """
    found = ((one, figures(one.status)) for one in told if last_told.is_fresh(one.node_id, one.status))
    _append(
        [
            (one.node_id, one.at_ms, last_told.layout(one.node_id, one.at_ms, values), values)
            for one, values in found
        ]
    )


def record_past(node_id: int, samples: Iterable[tuple[int, Status]]) -> int:
    """Add readings of the past, each with its time in epoch milliseconds by our clock; how many are new.

    What is there already, older than PAST_AGE_MS or ahead of the clock is left out.
    """
    with transaction.atomic():
        now = now_ms()
        given = {at: status for at, status in samples if now - PAST_AGE_MS <= at <= now + AHEAD_MS}
        if not given:
            return 0
        known = _times(node_id, min(given), max(given))
        new = [(at, figures(status)) for at, status in sorted(given.items()) if at not in known]
        layout = layout_of(list({figure for _, values in new for figure in values})[:MOST_FIGURES])
        _append([(node_id, at, layout, values) for at, values in new])
        return len(new)


def roll_up(*, within_s: float = ROLL_WITHIN_S) -> int:
    """Roll up stretches that are over and not in the next tier yet, for so long; how many blocks were made."""
    until = time.monotonic() + within_s
    made = 0
    for tier in TIERS:
        upper = next_tier(tier)
        if upper is None:
            break
        for node_id, start_ms in _due(tier, upper):
            if made and time.monotonic() >= until:
                return made
            _roll(node_id, tier, upper, start_ms)
            made += 1
    return made


def is_roll_up_due() -> bool:
    """Whether `roll_up` has anything to do."""
    now = now_ms()
    due = Q()
    for tier in TIERS:
        upper = next_tier(tier)
        if upper is not None:
            due |= Q(step_s=tier.step_s, start_ms__lt=upper.start_of(now))
    return HistoryBlock.objects.filter(due, is_rolled=False).exists()


def prune_history() -> int:
    """Remove some of what is past its age in its tier, and lives on in the next; how many rows."""
    now = now_ms()
    for tier in TIERS:
        oldest = _oldest_ms(tier, now)
        rows = HistoryBlock.objects.filter(step_s=tier.step_s, start_ms__lt=oldest)
        if next_tier(tier) is not None:
            # What could not be rolled up in a day never will be.
            rows = rows.filter(Q(is_rolled=True) | Q(start_ms__lt=oldest - DAY_MS))
        ids = list(rows.order_by("start_ms").values_list("id", flat=True)[:MOST_PRUNED])
        if ids:
            return HistoryBlock.objects.filter(id__in=ids).delete()[0]
    return 0


def _oldest_ms(tier: Tier, now: int) -> int:
    """Before what a tier's rows go: whole blocks of the next tier only, so that one can be made anew from rows."""
    keep_ms = tier.keep_ms
    if tier.keep_ms >= 30 * DAY_MS:
        keep_ms = settings.DPL_KEEP_HISTORY_DAYS * DAY_MS
    return (next_tier(tier) or tier).start_of(now - keep_ms)


def _append(readings: Iterable[tuple[int, int, Layout, Mapping[Figure, float]]]) -> None:
    """Add (node, time, layout, values) to raw rows, in an order in which two writers never wait for each other."""
    rows = []
    for node_id, at, layout, values in sorted(readings, key=lambda one: one[:2]):
        if layout:
            start = RAW.start_of(at)
            data = pack_reading(layout, values, at - start)
            rows.append(
                (node_id, RAW.step_s, start, layout_key(layout), False, layout_text(layout), data, MOST_BYTES)
            )
    if rows:
        with connection.cursor() as cursor:
            cursor.executemany(_APPEND[connection.vendor], rows)


_COLUMNS = "node_id, step_s, start_ms, layout, is_rolled, figures, data"
_UPSERT = (
    f"INSERT INTO nodes_historyblock ({_COLUMNS}) VALUES (%s, %s, %s, %s, %s, %s, %s) "
    "ON CONFLICT (node_id, step_s, start_ms, layout) DO UPDATE SET is_rolled = excluded.is_rolled, "
)
_JOINED = "nodes_historyblock.data || excluded.data"
_GROW = " WHERE length(nodes_historyblock.data) < %s"
_APPEND = {
    "sqlite": f"{_UPSERT} data = CAST({_JOINED} AS BLOB){_GROW}",
    "postgresql": f"{_UPSERT} data = {_JOINED}{_GROW}",
}
_REPLACE = f"{_UPSERT} figures = excluded.figures, data = excluded.data"


def _times(node_id: int, first_ms: int, last_ms: int) -> set[int]:
    """The times of a node's readings that are there, about these moments."""
    rows = HistoryBlock.objects.select_for_update().filter(
        node_id=node_id, step_s=RAW.step_s, start_ms__gte=RAW.start_of(first_ms), start_ms__lte=last_ms
    )
    blocks = _read(RAW, rows.order_by("start_ms"))
    return {at for block in blocks if isinstance(block, RawBlock) for at in block.times}


def _due(tier: Tier, upper: Tier) -> list[tuple[int, int]]:
    """Which nodes' stretches are to be rolled up, the oldest first; some of them when there are many."""
    rows = HistoryBlock.objects.filter(
        step_s=tier.step_s, is_rolled=False, start_ms__lt=upper.start_of(now_ms())
    )
    found = rows.order_by("start_ms").values_list("node_id", "start_ms")[:_MOST_LOOKED_AT]
    return list(dict.fromkeys((node_id, upper.start_of(start_ms)) for node_id, start_ms in found))


def _roll(node_id: int, tier: Tier, upper: Tier, start_ms: int) -> None:
    """Make one block of `upper` from all rows of `tier` within it."""
    rows = list(
        HistoryBlock.objects.select_for_update()
        .filter(
            node_id=node_id,
            step_s=tier.step_s,
            start_ms__gte=start_ms,
            start_ms__lt=start_ms + upper.block_ms,
        )
        .order_by("start_ms", "layout")
    )
    sums: defaultdict[Figure, Buckets] = defaultdict(lambda: Buckets(upper.step_ms))
    for block in _read(tier, rows):
        for figure in block.layout:
            if isinstance(block, RawBlock):
                sums[figure].add_readings(block.times, block.values(figure))
            else:
                sums[figure].add_points(block.rows(figure))
    series = {figure: points for figure, buckets in sums.items() if (points := buckets.points())}
    if series:
        _replace(node_id, upper, start_ms, series)
    HistoryBlock.objects.filter(id__in=[row.id for row in rows]).update(is_rolled=True)


def _replace(node_id: int, tier: Tier, start_ms: int, series: Mapping[Figure, list[Point]]) -> None:
    layout, data = pack_points(tier, start_ms, series)
    if len(layout) < len(series):
        logger.warning(
            "node %d told %d figures in one stretch; its history keeps %d of them",
            node_id,
            len(series),
            len(layout),
            extra={"action": "figures_dropped"},
        )
    is_last = next_tier(tier) is None
    with connection.cursor() as cursor:
        cursor.execute(_REPLACE, (node_id, tier.step_s, start_ms, 0, is_last, layout_text(layout), data))


def _read(tier: Tier, rows: Iterable[HistoryBlock]) -> Iterator[RawBlock | RolledBlock]:
    """The blocks of rows; one that cannot be read is passed over, and the log has it."""
    for row in rows:
        try:
            yield read_block(tier, row.figures, row.start_ms, bytes(row.data))
        except BrokenBlock as error:
            logger.error("history row %d is broken and passed over: %s", row.id, error)
