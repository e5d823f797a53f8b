"""Reads what an estimate needs: the items of a (dry) run, and the engines that may take its kind of item now."""

from __future__ import annotations

import time
from typing import Any

from django.db.models import Avg, Count, Sum

from datasets.estimates import Bench, Sample, estimate
from datasets.models import Item, Job
from datasets.options import JobOptions
from datasets.outlook import request_of
from datasets.states import ItemState
from inference.scheduling import choose
from inference.selectors import engine_snapshots


def forecast(job: Job, rows: int) -> dict[str, Any]:
    """How long `rows` rows with this job's options would take on the machines that are there and free."""
    return estimate(rows, _sample(job), _benches(job))


def _sample(job: Job) -> Sample:
    done = Item.objects.filter(job=job, state=ItemState.SUCCEEDED, duration_ms__isnull=False)
    sums = done.aggregate(
        items=Count("pk"),
        ms=Sum("duration_ms"),
        tokens_in=Avg("prompt_tokens"),
        tokens_out=Avg("completion_tokens"),
    )
    by_engine = done.filter(engine__isnull=False).values_list("engine_id").annotate(Avg("duration_ms"))
    return Sample(
        sums["items"],
        sums["ms"] / sums["items"] / 1000 if sums["items"] else None,
        sums["tokens_in"],
        sums["tokens_out"],
        {engine_id: milliseconds / 1000 for engine_id, milliseconds in by_engine if engine_id is not None},
    )


def _benches(job: Job) -> list[Bench]:
    request = request_of(job.id, JobOptions.from_json(job.options))
    decision = choose(request, engine_snapshots(), time.time())
    return [
        Bench(
            one.engine_id,
            one.node_id,
            one.snapshot.node_name,
            one.snapshot.slots,
            one.snapshot.speeds.get(one.model),
            one.snapshot.seconds.get(one.model),
        )
        for one in decision.candidates
    ]
