"""Writes what became of requests: the log, the sums of usage, the metrics; one batch, one transaction.

The only writer of RequestLog, GatewayCounter and GatewayProcess.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
from django.conf import settings
from django.db import connection, transaction
from django.db.models import Max

from accounts.limits import RATE_LIMITED
from accounts.models import UsageDay
from accounts.usage import Used, UsedBy, usage_add
from dpl_site.lib import trace
from dpl_site.lib.clock import utc_now
from dpl_site.lib.db import now_sql
from inference.metering import Series, metered
from inference.models import GatewayCounter, GatewayProcess, RequestLog
from inference.recorder import Batch
from inference.records import CANCELLED, Attempt, RequestRecord
from nodes.instances import owner_is_dead

MOST_PRUNED = 5_000
"""Rows of the log that one transaction removes; the controller does so every few seconds."""
KEEP_COUNTERS = timedelta(days=30)
"""A number of the metrics that has not risen for so long goes, and its place for a model with it."""

DAY_S = 86_400

requests_log = logging.getLogger("inference.requests")
_ACTION = {"action": "request"}


def write_batch(*, batch: Batch) -> None:
    """Write a batch of a recorder, once: one that is tried again and was in already changes nothing."""
    with transaction.atomic():
        if batch.is_again and _is_in(batch):
            return
        _log([_row(one) for one in batch.records if is_told(one)])
        usage_add(used=used_by(batch.records))
        _count(metered(batch.records, _known_models() if batch.records else ()))
        GatewayProcess.objects.bulk_create(
            [_process(batch)],
            update_conflicts=True,
            unique_fields=["id"],
            update_fields=["instance", "batch", "waiting", "in_flight"],
        )
    _say(batch.records)


def is_told(record: RequestRecord) -> bool:
    """Whether a request is told one by one.

    Strangers have no row, and those whom a limit turned away none each: who knocks on without end is counted.
    """
    return record.is_in_full and bool(record.user_id) and record.outcome != RATE_LIMITED


def used_by(records: Iterable[RequestRecord]) -> dict[UsedBy, Used]:
    """The sums of these records."""
    sums: defaultdict[tuple[int, int, int, str, int, str], Used] = defaultdict(Used)
    for one in records:
        if not one.user_id:
            continue
        last = one.last
        day = int(one.at // DAY_S)
        used = sums[day, one.user_id, one.key_id or 0, last.model, last.node_id or 0, last.node_name]
        used.requests += 1
        used.failed += one.is_failed
        used.cancelled += one.outcome == CANCELLED
        used.prompt_tokens += one.prompt_tokens or 0
        used.completion_tokens += one.completion_tokens or 0
    return {
        UsedBy(
            day=datetime.fromtimestamp(day * DAY_S, UTC).date(),
            user_id=user_id,
            key_id=key_id,
            model=model,
            node_id=node_id,
            source=UsageDay.Source.GATEWAY,
            node_name=node_name,
        ): used
        for (day, user_id, key_id, model, node_id, node_name), used in sums.items()
    }


def prune_requests() -> int:
    """Remove requests that are past their days or beyond their number; how many."""
    oldest = utc_now() - timedelta(days=settings.DPL_KEEP_REQUESTS_DAYS)
    last = RequestLog.objects.aggregate(last=Max("id"))["last"] or 0
    beyond = RequestLog.objects.filter(id__lte=last - settings.DPL_KEEP_REQUESTS_MOST)
    for due in (beyond, RequestLog.objects.filter(at__lt=oldest)):
        ids = list(due.order_by("id").values_list("id", flat=True)[:MOST_PRUNED])
        if ids:
            return RequestLog.objects.filter(id__in=ids).delete()[0]
    return 0


def prune_metrics() -> int:
    """Remove numbers that have not risen for long, and processes that have ended; how many."""
    limit = (utc_now() - KEEP_COUNTERS).timestamp() * 1000
    removed = GatewayCounter.objects.filter(updated_ms__lt=limit).delete()[0]
    return removed + GatewayProcess.objects.filter(owner_is_dead("instance")).delete()[0]


def decision_of(attempts: Iterable[Attempt]) -> list[dict[str, Any]]:
    """The tries as the log and the API tell them."""
    return [
        {
            "node": {"id": one.node_id, "name": one.node_name} if one.node_id is not None else None,
            "engine": one.engine_id,
            "model": one.model,
            "reasons": list(one.reasons),
            "others": [{"node": name, "expected_finish_s": seconds} for name, seconds in one.others],
            "rejected": [{"node": name, "reason": why} for name, why in one.rejected],
            "error": {"code": one.error, "message": one.message} if one.error else None,
        }
        for one in attempts
    ]


def _is_in(batch: Batch) -> bool:
    return GatewayProcess.objects.filter(id=batch.recorder_id, batch__gte=batch.number).exists()


def _process(batch: Batch) -> GatewayProcess:
    return GatewayProcess(
        id=batch.recorder_id,
        instance_id=batch.instance_id,
        batch=batch.number,
        waiting=batch.load.waiting,
        in_flight={str(engine_id): count for engine_id, count in batch.load.in_flight.items()},
    )


def _log(rows: Sequence[tuple[Any, ...]]) -> None:
    """Add rows to the log. The ORM would take longer over a row than the gateway over half a request."""
    if rows:
        with connection.cursor() as cursor:
            cursor.executemany(_INSERT, rows)


_COLUMNS = (
    "request_id, at, user_id, key_id, path, model_asked, model, node_id, node_name, engine_id, outcome, status, "
    "is_streaming, waited_ms, ttft_ms, duration_ms, prompt_tokens, completion_tokens, is_estimated, attempts, decision"
)
_INSERT = (
    f"INSERT INTO inference_requestlog ({_COLUMNS}) VALUES ({', '.join(['%s'] * len(_COLUMNS.split(',')))})"
)


def _row(one: RequestRecord) -> tuple[Any, ...]:
    """The values of a row, in the order of _COLUMNS."""
    last = one.last
    return (
        one.request_id[:64],
        connection.ops.adapt_datetimefield_value(datetime.fromtimestamp(one.at, UTC)),
        one.user_id,
        one.key_id,
        one.path[:64],
        one.model_asked[:200],
        last.model[:200],
        last.node_id,
        last.node_name[:100],
        last.engine_id,
        one.outcome[:40],
        one.status,
        one.is_streaming,
        one.waited_ms,
        one.ttft_ms,
        one.duration_ms,
        one.prompt_tokens,
        one.completion_tokens,
        one.is_estimated,
        len(one.attempts),
        orjson.dumps(decision_of(one.attempts)).decode(),
    )


def _known_models() -> set[str]:
    return set(GatewayCounter.objects.values_list("model", flat=True).distinct())


def _count(raised: Mapping[Series, float]) -> None:
    """Raise the numbers. In the order of their names, so that two processes never wait for each other."""
    rows = [
        (one.name, one.model[:200], one.node[:100], one.label[:40], by)
        for one, by in sorted(raised.items(), key=lambda pair: pair[0])
    ]
    if rows:
        with connection.cursor() as cursor:
            cursor.executemany(_RAISE.format(now=now_sql()), rows)


_RAISE = (
    "INSERT INTO inference_gatewaycounter (name, model, node, label, value, updated_ms) "
    "VALUES (%s, %s, %s, %s, %s, {now}) ON CONFLICT (name, model, node, label) DO UPDATE "
    "SET value = inference_gatewaycounter.value + excluded.value, updated_ms = excluded.updated_ms"
)


def _say(records: Iterable[RequestRecord]) -> None:
    """A line of the log for each request, when it is written; in the writing thread, so that nobody waits."""
    if not (settings.DPL_LOG_REQUESTS and requests_log.isEnabledFor(logging.INFO)):
        return
    is_whole = settings.DPL_LOG_FORMAT == "json"
    for one in records:
        if is_told(one):
            token = trace.request_id.set(one.request_id)
            try:
                requests_log.info(*_line(one), extra=_fields(one) if is_whole else _ACTION)
            finally:
                trace.request_id.reset(token)


def _line(one: RequestRecord) -> tuple[str, ...]:
    last = one.last
    why = "; ".join(last.reasons) or last.message or one.outcome
    where = f"{last.node_name or 'no node'} ({' '.join(why.split())})"
    model = one.model_used or one.model_asked or "auto"
    line = "%s %s for %s: %s in %s ms, %s"
    return line, one.path, model, one.username, one.outcome, str(one.duration_ms), where


def _fields(one: RequestRecord) -> dict[str, Any]:
    return {
        **_ACTION,
        "user": one.username,
        "key_id": one.key_id,
        "path": one.path,
        "model": one.model_used,
        "model_asked": one.model_asked,
        "outcome": one.outcome,
        "status": one.status,
        "stream": one.is_streaming,
        "waited_ms": one.waited_ms,
        "ttft_ms": one.ttft_ms,
        "duration_ms": one.duration_ms,
        "prompt_tokens": one.prompt_tokens,
        "completion_tokens": one.completion_tokens,
        "decision": decision_of(one.attempts),
    }
