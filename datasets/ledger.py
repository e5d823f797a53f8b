"""The fenced writes of a drain: note dispatches, record results, close shards and jobs. All by the shard's token.

A shard's token rises with every claim. A write under an older token changes nothing; a result that comes so
is counted in `Job.late_results_refused`. The statements of a commit are written out: it runs hundreds of times
a second, lanes wait for it, and the ORM would cost four times what the database does.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from django.db import connection, transaction
from django.db.models import F
from django.utils import timezone

from datasets.models import Job, Shard
from datasets.states import ItemState, JobState, ShardState
from dpl_site.lib.db import now_sql
from dpl_site.lib.packing import pack
from nodes import news

ATTEMPTS_KEPT = 20
"""How many failed attempts of one item are kept: enough to see why, and no item fills the disk."""

_Value = str | bytes | int | bool | None


@dataclass(frozen=True, slots=True)
class Dispatch:
    """An item is about to be sent to an engine."""

    item_id: int
    shard_id: int
    token: int
    engine_id: int
    node_id: int
    model: str
    is_alone: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one try: recorded for good (succeeded, failed) or put back (pending)."""

    item_id: int
    shard_id: int
    job_id: str
    token: int
    state: ItemState
    attempts: int
    losses: int
    engine_id: int | None = None
    node_id: int | None = None
    model: str = ""
    reply: str | None = None
    cause: str = ""
    error: str = ""
    duration_ms: int | None = None
    ttft_ms: int | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Committed:
    """What a commit did: shards whose token has moved on (the process owns them no more), shards that are done.

    `moved` are the outcomes that changed a row.
    """

    lost: frozenset[int] = field(default_factory=frozenset)
    done: frozenset[int] = field(default_factory=frozenset)
    moved: tuple[Outcome, ...] = ()


def commit(
    *, dispatches: Sequence[Dispatch], outcomes: Sequence[Outcome], tell: Iterable[str] = ()
) -> Committed:
    """Write results first, then dispatches, in one transaction; `tell` are jobs whose watchers get news."""
    with transaction.atomic():
        lost, done, moved = _record(outcomes)
        lost |= _dispatch([one for one in dispatches if one.shard_id not in lost])
        for job_id in tell:
            news.publish(topic=news.JOB, object_id=job_id)
    for job_id in {one.job_id for one in outcomes if one.shard_id in done}:
        finish_job(job_id=job_id)
    return Committed(frozenset(lost), frozenset(done), tuple(moved))


def finish_job(*, job_id: str) -> bool:
    """Complete a job when every item is imported and recorded; whether it was completed now."""
    with transaction.atomic():
        if connection.vendor == "postgresql":
            # An import or a retry holds this row while it opens shards: they are seen below, or come after.
            Job.objects.select_for_update().filter(id=job_id).first()
        open_shards = Shard.objects.filter(job_id=job_id).exclude(state=ShardState.DONE)
        job = Job.objects.filter(
            id=job_id,
            state__in=[JobState.QUEUED, JobState.RUNNING, JobState.STOPPING],
            imported=F("total"),
        )
        if open_shards.exists() or not job.update(
            state=JobState.COMPLETED, stop_mode="", finished_at=timezone.now(), version=F("version") + 1
        ):
            return False
        news.publish(topic=news.JOB, object_id=job_id)
        return True


def _dispatch(dispatches: Sequence[Dispatch]) -> set[int]:
    """Note the starts of those whose shard is still ours; the ids of shards that are not."""
    tokens = {one.shard_id: one.token for one in dispatches}
    if not tokens:
        return set()
    valid = {shard_id for shard_id, token in _owned(tokens) if tokens[shard_id] == token}
    rows = [
        (one.engine_id, one.node_id, one.model, one.is_alone, one.item_id)
        for one in dispatches
        if one.shard_id in valid
    ]
    _many(
        "UPDATE datasets_item SET state = 'running', starts = starts + 1, engine_id = %s, node_id = %s, "
        "model = %s, is_alone = %s WHERE id = %s AND state IN ('pending', 'running')",
        rows,
    )
    return set(tokens) - valid


def _owned(shard_ids: Iterable[int]) -> list[tuple[int, int]]:
    """Id and token of those shards that run; PostgreSQL keeps them so until the commit."""
    lock = " FOR UPDATE" if connection.vendor == "postgresql" else ""
    sql = (
        f"SELECT id, token FROM datasets_shard WHERE id IN ({_listed(shard_ids)}) AND state = 'running'{lock}"
    )
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return list(cursor.fetchall())


def _record(outcomes: Sequence[Outcome]) -> tuple[set[int], set[int], list[Outcome]]:
    """Write outcomes shard by shard; the shards that are lost, those that are done, the outcomes that count."""
    lost: set[int] = set()
    moved: list[Outcome] = []
    by_shard: dict[int, list[Outcome]] = defaultdict(list)
    for one in outcomes:
        by_shard[one.shard_id].append(one)
    for shard_id, group in sorted(by_shard.items()):
        if _is_ours(shard_id, group[0].token):
            written = _write(group)
            _count(shard_id, written)
            moved += written
        else:
            lost.add(shard_id)
            _refuse(group)
    return lost, close_full_shards([shard_id for shard_id in by_shard if shard_id not in lost]), moved


def _is_ours(shard_id: int, token: int) -> bool:
    """Whether the shard still runs under this token; PostgreSQL keeps it so until the commit."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE datasets_shard SET token = token WHERE id = %s AND token = %s AND state = 'running'",
            (shard_id, token),
        )
        return bool(cursor.rowcount)


def _count(shard_id: int, moved: Sequence[Outcome]) -> None:
    """Raise the shard's counters by the items that were recorded now."""
    succeeded = sum(one.state is ItemState.SUCCEEDED for one in moved)
    failed = sum(one.state is ItemState.FAILED for one in moved)
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE datasets_shard SET succeeded = succeeded + %s, failed = failed + %s WHERE id = %s",
            (succeeded, failed, shard_id),
        )


def _refuse(group: Sequence[Outcome]) -> None:
    results = sum(one.state in (ItemState.SUCCEEDED, ItemState.FAILED) for one in group)
    if results:
        Job.objects.filter(id=group[0].job_id).update(
            late_results_refused=F("late_results_refused") + results, version=F("version") + 1
        )


_RECORD = (
    "UPDATE datasets_item SET state = %s, attempts = %s, losses = %s, cause = %s, error = %s, "
    "engine_id = %s, node_id = %s, model = %s, duration_ms = %s, ttft_ms = %s, prompt_tokens = %s, "
    "completion_tokens = %s, is_alone = FALSE, is_suspect = FALSE, "
    "finished_ms = CASE WHEN %s THEN {now} ELSE NULL END WHERE id = %s AND state IN ({states})"
)


def _write(group: Sequence[Outcome]) -> list[Outcome]:
    """Write a shard's outcomes; those that changed a row.

    The rows decide: an item that is recorded already changes no more, so a second copy's result or a commit that
    is repeated after a lost answer counts nothing. A result may find its item put back by another copy's error.
    """
    moved = []
    with connection.cursor() as cursor:
        for one in group:
            states = "'running'" if one.state is ItemState.PENDING else "'pending', 'running'"
            cursor.execute(_RECORD.format(now=now_sql(), states=states), _row(one))
            if cursor.rowcount:
                moved.append(one)
    _keep_failed(moved)
    _many(
        "INSERT INTO datasets_itemoutput (item_id, text, packed) VALUES (%s, %s, %s)",
        [
            (one.item_id, *pack(one.reply))
            for one in moved
            if one.reply is not None and one.state is ItemState.SUCCEEDED
        ],
    )
    return moved


def _keep_failed(moved: Sequence[Outcome]) -> None:
    """Keep why tries came to nothing; a commit without any costs nothing."""
    _many(
        "INSERT INTO datasets_failedattempt (item_id, engine_id, node_id, model, cause, error, ended_ms) "
        f"SELECT id, %s, %s, %s, %s, %s, {now_sql()} FROM datasets_item WHERE id = %s "
        f"AND (SELECT COUNT(*) FROM datasets_failedattempt WHERE item_id = %s) < {ATTEMPTS_KEPT}",
        [
            (one.engine_id, one.node_id, one.model, one.cause, one.error[:500], one.item_id, one.item_id)
            for one in moved
            if one.cause
        ],
    )


def _row(one: Outcome) -> tuple[_Value, ...]:
    is_final = one.state in (ItemState.SUCCEEDED, ItemState.FAILED)
    return (
        one.state.value,
        one.attempts,
        one.losses,
        one.cause,
        one.error[:500],
        one.engine_id,
        one.node_id,
        one.model,
        one.duration_ms,
        one.ttft_ms,
        one.prompt_tokens,
        one.completion_tokens,
        is_final,
        one.item_id,
    )


def close_full_shards(shard_ids: Collection[int]) -> set[int]:
    """Those of these shards whose items are all recorded are done; which they are."""
    if not shard_ids:
        return set()
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE datasets_shard SET state = 'done', owner_id = NULL WHERE id IN ({_listed(shard_ids)}) "
            "AND state <> 'done' AND size = succeeded + failed RETURNING id"
        )
        return {shard_id for (shard_id,) in cursor.fetchall()}


def _listed(ids: Iterable[int]) -> str:
    return ", ".join(str(int(one)) for one in ids)


def _many(sql: str, rows: Sequence[tuple[_Value, ...]]) -> None:
    if rows:
        with connection.cursor() as cursor:
            cursor.executemany(sql, rows)
