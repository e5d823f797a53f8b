"""Readings that agents push: web writes them down, the controller takes them as the agent's answer.

The only writer of PushedReading rows. Web never judges a node: it stores what came, and the next tick sees it.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Max

from dpl_site.lib.db import now_ms
from nodes.answers import NoStatus, moment, status_of
from nodes.mirror import AgentSeen, OurLock, told_by_push
from nodes.models import PushedReading
from nodes.payloads import Status
from nodes.probe import AgentReading
from nodes.states import LockMirror

MOST_PER_PUSH = 60
MOST_READING_BYTES = 256 * 1024
OLDEST = timedelta(minutes=15)
"""An agent keeps ten minutes; what it calls older than this has a clock that jumped."""
PAST_AT_ONCE = 600
SILENT_INTERVALS = 2.5
LEAST_SILENCE_S = 5.0
_SILENCES = ((86_400, "a day"), (3600, "an hour"), (600, "10 minutes"), (60, "a minute"), (10, "10 s"))
NEVER = "it has not pushed yet; is the agent running, and does it reach this server?"
_AT_ONCE = 500


class TooMuch(Exception):
    """The controller has not yet taken what this node pushed before; the agent is to keep its readings."""


@dataclass(frozen=True, slots=True)
class Received:
    """What became of a push: how many readings are stored, and what is wrong with the others."""

    stored: int
    refused: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PushTarget:
    """What a node has pushed, as a tick finds it.

    `silent_s` is how long ago it did last, None: never. `reading` is its newest, if no tick has taken it yet;
    `row_id` is that row, 0 when there is none, and `at` when it was sampled, by our clock.
    """

    base_url: str
    lock: OurLock | None
    silent_s: float | None = None
    row_id: int = 0
    at: datetime | None = None
    reading: AgentReading | None = None


def receive(*, node_id: int, readings: Sequence[Any], sent_at: str | None) -> Received:
    """Store the readings of one push, the oldest first. Raises TooMuch.

    Each is placed in time by how old it was when it was sent, so that an agent's wrong clock does no harm. What is
    no reading is left out, with the reason. A reading that comes again changes nothing.
    """
    received = now_ms()
    rows, refused = _rows(node_id, readings, sent_at, received)
    with transaction.atomic():
        waiting = PushedReading.objects.filter(node_id=node_id, is_taken=False).count()
        if rows and waiting + len(rows) > settings.DPL_PUSHED_MOST:
            raise TooMuch
        PushedReading.objects.bulk_create(rows, ignore_conflicts=True)
        _drop_oldest(node_id)
    return Received(len(rows), tuple(refused))


def push_targets(
    *, addresses: Mapping[int, str], locks: Mapping[int, OurLock], now: int
) -> dict[int, PushTarget]:
    """What these nodes (each with its agent's address, if it has one) have pushed; those that never did and have
    an address are left out. `now` is the database's clock.
    """
    stamps = PushedReading.objects.values("node_id").order_by()
    stamps = stamps.annotate(received=Max("received_ms"), newest=Max("at_ms"))
    known = {
        row["node_id"]: (row["received"], row["newest"]) for row in stamps if row["node_id"] in addresses
    }
    fresh = _fresh({node_id: newest for node_id, (_, newest) in known.items()})
    targets = {}
    for node_id, base_url in addresses.items():
        received = known.get(node_id, (None, None))[0]
        if received is None and base_url:
            continue
        silent_s = None if received is None else max(0.0, (now - received) / 1000)
        targets[node_id] = _target(PushTarget(base_url, locks.get(node_id), silent_s), fresh.get(node_id))
    return targets


def silent_after_s(interval_s: float) -> float:
    """After how long without a push an agent counts as silent."""
    return max(LEAST_SILENCE_S, SILENT_INTERVALS * interval_s)


def see_push(target: PushTarget, *, at: datetime, installation: str, interval_s: float) -> AgentSeen | None:
    """What a tick sees of an agent that pushes; None while there is nothing new and it is not silent. Pure."""
    lock_id = target.lock.id if target.lock else ""
    if target.reading is not None and target.at is not None:
        foreign, mirror = told_by_push(target.lock, target.reading.lock, installation)
        return AgentSeen(
            target.base_url, target.at, target.reading, foreign=foreign, lock_id=lock_id, mirror=mirror
        )
    if target.silent_s is not None and target.silent_s <= silent_after_s(interval_s):
        return None
    problem = NEVER if target.silent_s is None else _silence(target.silent_s)
    return AgentSeen(target.base_url, at, None, problem, lock_id=lock_id, mirror=LockMirror.PENDING)


def take(*, row_ids: Collection[int]) -> None:
    """These were seen by a tick: their text goes, their stamp stays. In the transaction that records them."""
    if row_ids:
        PushedReading.objects.filter(id__in=row_ids).update(is_taken=True, reading="")


def past_readings(*, most: int = PAST_AT_ONCE) -> dict[int, list[tuple[int, Status]]]:
    """Take what was pushed late: node id → (when it was sampled, epoch ms by our clock; the reading), oldest first.

    These are older than what a tick has seen of the node since, so they belong in its history only. At most
    `most` at once, the rest at the next tick. To be called in the transaction that keeps them.
    """
    waiting = PushedReading.objects.filter(is_taken=False).order_by("at_ms")
    stamps = list(waiting.values_list("id", "node_id", "at_ms")[: 2 * most])
    taken = PushedReading.objects.filter(is_taken=True, node_id__in={node_id for _, node_id, _ in stamps})
    seen = dict(taken.order_by().values_list("node_id").annotate(Max("at_ms"))) if stamps else {}
    late = [row_id for row_id, node_id, at in stamps if at <= seen.get(node_id, 0)][:most]
    found: dict[int, list[tuple[int, Status]]] = defaultdict(list)
    for row in PushedReading.objects.filter(id__in=late).order_by("at_ms"):
        found[row.node_id].append((row.at_ms, json.loads(row.reading)))
    take(row_ids=late)
    return dict(found)


def forget(*, node_ids: Collection[int]) -> None:
    """What these nodes pushed is not theirs any more: they have another agent, or are gone."""
    PushedReading.objects.filter(node_id__in=node_ids).delete()


def _rows(
    node_id: int, readings: Sequence[Any], sent_at: str | None, received: int
) -> tuple[list[PushedReading], list[str]]:
    sent = moment(sent_at) or _newest_stamp(readings)
    skew_s = None if moment(sent_at) is None or sent is None else round(sent.timestamp() - received / 1000, 1)
    rows, refused = [], []
    for number, told in enumerate(readings, start=1):
        try:
            status = _status(told)
            sampled = moment(status["sampled_at"])
            at = received - _age_ms(sampled, sent)
        except NoStatus as error:
            refused.append(f"reading {number}: {error}")
            continue
        rows.append(
            PushedReading(
                node_id=node_id,
                received_ms=received,
                at_ms=at,
                sampled_at=sampled,
                clock_skew_s=skew_s,
                reading=json.dumps(status, separators=(",", ":")),
            )
        )
    return rows, refused


def _status(told: Any) -> Status:
    """One reading. Raises NoStatus with what is wrong with it."""
    if not isinstance(told, dict):
        raise NoStatus("it is no object")
    try:
        size = len(json.dumps(told))
    except RecursionError:
        raise NoStatus("it is nested too deep") from None
    if size > MOST_READING_BYTES:
        raise NoStatus(f"it is larger than {MOST_READING_BYTES >> 10} KiB")
    return status_of(told)


def _newest_stamp(readings: Sequence[Any]) -> datetime | None:
    told = (moment(one.get("sampled_at")) for one in readings if isinstance(one, dict))
    return max((stamp for stamp in told if stamp), default=None)


def _age_ms(sampled: datetime | None, sent: datetime | None) -> int:
    """How old a reading was when it was sent, by the agent's own clock. Raises NoStatus when that cannot be."""
    if sampled is None or sent is None:
        return 0
    age = sent - sampled
    if not -timedelta(seconds=5) <= age <= OLDEST:
        raise NoStatus(f"it says it was sampled {-age.total_seconds():+.0f} s from when it was sent")
    return max(0, int(age.total_seconds() * 1000))


def _drop_oldest(node_id: int) -> None:
    """Bound the rows of a node; those that were not taken are the newest, and fewer than the bound."""
    rows = PushedReading.objects.filter(node_id=node_id).order_by("-id")
    oldest = rows.values_list("id", flat=True)[
        settings.DPL_PUSHED_MOST : settings.DPL_PUSHED_MOST + 1
    ].first()
    if oldest is not None:
        PushedReading.objects.filter(node_id=node_id, id__lte=oldest).delete()


def _fresh(newest: Mapping[int, int]) -> dict[int, PushedReading]:
    """Node id → its newest reading, unless a tick has taken that already."""
    waiting = PushedReading.objects.filter(is_taken=False, node_id__in=newest)
    stamps = waiting.values_list("id", "node_id", "at_ms")
    ids = [row_id for row_id, node_id, at in stamps if at >= newest[node_id]]
    rows: dict[int, PushedReading] = {}
    for start in range(0, len(ids), _AT_ONCE):
        rows |= {
            row.node_id: row for row in PushedReading.objects.filter(id__in=ids[start : start + _AT_ONCE])
        }
    return rows


def _target(bare: PushTarget, row: PushedReading | None) -> PushTarget:
    if row is None:
        return bare
    reading = AgentReading(json.loads(row.reading), row.clock_skew_s)
    at = datetime.fromtimestamp(row.at_ms / 1000, UTC)
    return PushTarget(bare.base_url, bare.lock, bare.silent_s, row.id, at, reading)


def _silence(seconds: float) -> str:
    """In steps, so that the reason of a node that stays silent is not news at each tick."""
    told = next((words for least, words in _SILENCES if seconds >= least), f"{LEAST_SILENCE_S:g} s")
    return f"it has not pushed for {told}; is the machine on, and does it reach this server?"
