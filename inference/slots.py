"""Slots: the only writer of Slot and SlotWaiter rows. A slot is held while its holder's instance lives.

Claims are one conditional UPDATE over the engines in order of preference; what is claimed carries a token.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from django.db import connection, transaction
from django.db.models import F, Q

from dpl_site.lib.db import NowMs, now_sql, uuid_param
from inference.models import EngineStatus, Slot, SlotWaiter
from nodes.instances import owner_is_dead

BATCH = "batch"
INTERACTIVE = "interactive"
AGED = "aged"
"""Batch work that has had no slot for so long that interactive requests give it one. Always waits for named engines."""
MOST_WAITED_FOR = 64


@dataclass(frozen=True, slots=True)
class Held:
    """One claimed slot; `token` proves the claim."""

    slot_id: int
    engine_id: int
    index: int
    token: int


def sync_slots(*, engine_id: int, count: int) -> None:
    """Make an engine have `count` slots: missing rows are made, superfluous ones retire when free."""
    have = dict(Slot.objects.filter(engine_id=engine_id).values_list("index", "is_retired"))
    missing = [Slot(engine_id=engine_id, index=index) for index in range(count) if index not in have]
    if missing:
        Slot.objects.bulk_create(missing, ignore_conflicts=True)
    if any(retired for index, retired in have.items() if index < count):
        Slot.objects.filter(engine_id=engine_id, index__lt=count).update(is_retired=False)
    if any(not retired for index, retired in have.items() if index >= count):
        Slot.objects.filter(engine_id=engine_id, index__gte=count).update(is_retired=True)


def claim(
    *, engine_ids: Sequence[int], instance_id: uuid.UUID, work_class: str, limit: int = 1
) -> list[Held]:
    """Claim up to `limit` free slots of these engines, those of earlier engines first.

    Batch work never claims past an interactive request that waits for the same engine, or for any; interactive
    requests never past aged batch work of another process that waits for the same engine. Aged work claims past all.
    """
    if not engine_ids or limit < 1:
        return []
    order = " ".join(f"WHEN {int(engine_id)} THEN {rank}" for rank, engine_id in enumerate(engine_ids))
    listed = ", ".join(str(int(engine_id)) for engine_id in engine_ids)
    before = {BATCH: INTERACTIVE, INTERACTIVE: AGED}.get(work_class)
    free = _free_sql("s") + (_nobody_waits_sql("s", before) if before else "")
    skip_locked = " FOR UPDATE SKIP LOCKED" if connection.vendor == "postgresql" else ""
    sql = (
        f"UPDATE inference_slot SET holder_id = %s, token = token + 1, work_class = %s, "
        f"claimed_ms = {now_sql()} WHERE id IN (SELECT s.id FROM inference_slot s "
        f"WHERE s.engine_id IN ({listed}) AND {free} "
        f"ORDER BY CASE s.engine_id {order} END, s.index LIMIT {int(limit)}{skip_locked}) "
        "RETURNING id, engine_id, index, token"
    )
    with connection.cursor() as cursor:
        kept_as = BATCH if work_class == AGED else work_class
        cursor.execute(_quoted(sql), [uuid_param(instance_id), kept_as])
        rows = cursor.fetchall()
    rank = {engine_id: place for place, engine_id in enumerate(engine_ids)}
    return sorted((Held(*row) for row in rows), key=lambda held: (rank[held.engine_id], held.index))


def release(*, held: Iterable[Held]) -> None:
    """Give slots back; one whose token has moved on is somebody else's and stays."""
    with transaction.atomic():
        for one in held:
            Slot.objects.filter(id=one.slot_id, token=one.token).update(
                holder=None, work_class="", claimed_ms=None
            )


def still_held(*, held: Iterable[Held]) -> set[int]:
    """The ids of those slots that are still claimed under their token and not retired."""
    mine = {one.slot_id: one.token for one in held}
    rows = Slot.objects.filter(id__in=mine, is_retired=False).values_list("id", "token")
    return {slot_id for slot_id, token in rows if mine[slot_id] == token}


def free_dead_leases() -> int:
    """Free the slots whose holder has ended, and forget the waiters that have; how many slots."""
    SlotWaiter.objects.filter(owner_is_dead("owner")).delete()
    dead = Slot.objects.filter(holder__isnull=False).filter(owner_is_dead("holder"))
    return dead.update(holder=None, work_class="", claimed_ms=None, token=F("token") + 1)


def wait(*, instance_id: uuid.UUID, work_class: str, engine_id: int | None = None) -> None:
    """Make it visible to all processes that this one waits for a slot (of one engine, or of any)."""
    with transaction.atomic():
        mine = SlotWaiter.objects.filter(owner_id=instance_id, work_class=work_class)
        of_one = mine.filter(engine_id=engine_id) if engine_id else mine.filter(engine__isnull=True)
        if not of_one.exists():
            SlotWaiter.objects.create(
                owner_id=instance_id, work_class=work_class, engine_id=engine_id, since_ms=NowMs()
            )


def wait_aged(*, instance_id: uuid.UUID, engine_ids: Iterable[int]) -> None:
    """Batch work of this process has waited too long for one of these engines (MOST_WAITED_FOR at most)."""
    wanted = sorted(engine_ids)[:MOST_WAITED_FOR]
    with transaction.atomic():
        stop_waiting(instance_id=instance_id, work_class=AGED)
        SlotWaiter.objects.bulk_create(
            [
                SlotWaiter(owner_id=instance_id, work_class=AGED, engine_id=engine_id, since_ms=NowMs())
                for engine_id in wanted
            ]
        )


def others_wait(*, instance_id: uuid.UUID) -> frozenset[str]:
    """The classes of work for which other living processes wait: interactive, batch, aged."""
    waiting = SlotWaiter.objects.exclude(owner_id=instance_id).exclude(owner_is_dead("owner"))
    return frozenset(waiting.values_list("work_class", flat=True))


def stop_waiting(*, instance_id: uuid.UUID, work_class: str) -> None:
    """Nothing is waited for any more."""
    SlotWaiter.objects.filter(owner_id=instance_id, work_class=work_class).delete()


def open_breaker(*, engine_id: int, reason: str) -> bool:
    """Take an engine out of rotation for every process; whether it was in."""
    closed = EngineStatus.objects.filter(engine_id=engine_id, breaker_open_ms__isnull=True)
    return bool(closed.update(breaker_open_ms=NowMs(), breaker_reason=reason[:300]))


def close_breaker(*, engine_id: int) -> None:
    """A real generation came through: the engine is in rotation again."""
    EngineStatus.objects.filter(engine_id=engine_id, breaker_open_ms__isnull=False).update(
        breaker_open_ms=None, breaker_reason=""
    )


def take_trial(*, engine_id: int, pause_ms: int) -> bool:
    """Whether the caller may be the one request that tries an open breaker; others wait another pause."""
    due = Q(breaker_open_ms__lte=NowMs() - pause_ms)
    return bool(EngineStatus.objects.filter(due, engine_id=engine_id).update(breaker_open_ms=NowMs()))


def note_chat_path_missing(*, engine_id: int) -> None:
    """This Ollama answers by the older path only; ask by it from now on."""
    EngineStatus.objects.filter(engine_id=engine_id).update(chat_path_missing=True)


def _free_sql(alias: str) -> str:
    return (
        f"NOT {alias}.is_retired AND ({alias}.holder_id IS NULL OR NOT EXISTS (SELECT 1 FROM "
        f"nodes_processinstance p WHERE p.id = {alias}.holder_id AND p.expires_ms > {now_sql()}))"
    )


def _nobody_waits_sql(alias: str, work_class: str) -> str:
    return (
        " AND NOT EXISTS (SELECT 1 FROM inference_slotwaiter w JOIN nodes_processinstance p "
        f"ON p.id = w.owner_id AND p.expires_ms > {now_sql()} WHERE w.work_class = '{work_class}' "
        f"AND (w.engine_id IS NULL OR w.engine_id = {alias}.engine_id))"
    )


def _quoted(sql: str) -> str:
    """`index` is a reserved word in SQL."""
    quoted = connection.ops.quote_name("index")
    return sql.replace("s.index", f"s.{quoted}").replace("engine_id, index,", f"engine_id, {quoted},")
