"""What a drain sees of the fleet and of its jobs at one moment, read in one go from the rows."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from django.conf import settings

from datasets.models import Job
from datasets.options import JobOptions
from datasets.planning import may_share
from datasets.states import JobState, StopMode
from inference.breaker import PAUSE_MS
from inference.models import SlotWaiter
from inference.scheduling import Decision, EngineSnapshot, Request, choose
from inference.selectors import engine_snapshots, slots_by_holder, targets
from inference.slots import BATCH, INTERACTIVE, Held, still_held, take_trial
from inference.upstream import Target
from nodes.instances import owner_is_dead


@dataclass(frozen=True, slots=True)
class JobView:
    """One job as its drain needs it: options, whether it stops, and which engines may take its items."""

    job_id: str
    options: JobOptions
    is_stopping: bool
    is_aborted: bool
    decision: Decision

    def model_on(self, engine_id: int) -> str | None:
        """The engine's name of the job's model; None when the engine may not take its items."""
        return next((one.model for one in self.decision.candidates if one.engine_id == engine_id), None)

    def context_on(self, engine_id: int) -> int:
        """The context that the engine has it loaded with, in tokens; 0 when that is not known."""
        return next((one.context for one in self.decision.candidates if one.engine_id == engine_id), 0)


@dataclass(frozen=True, slots=True)
class Outlook:
    """The fleet, the jobs, what became of the slots held, and how many to give away."""

    snapshots: Mapping[int, EngineSnapshot] = field(default_factory=dict)
    targets: Mapping[int, Target] = field(default_factory=dict)
    jobs: Mapping[str, JobView] = field(default_factory=dict)
    lost_slots: frozenset[int] = frozenset()
    give_to_interactive: Mapping[int | None, int] = field(default_factory=dict)
    give_to_batch: int = 0
    trials: frozenset[int] = frozenset()


def look(
    *,
    instance_id: uuid.UUID,
    job_ids: Collection[str],
    held: Sequence[Held],
    now: float,
    may_give: bool = True,
) -> Outlook:
    """Read everything a drain decides by; `now` in seconds, for the scheduling policy."""
    found = engine_snapshots()
    snapshots = [_tried(one) for one in found]
    holders = slots_by_holder()
    return Outlook(
        snapshots={one.engine_id: one for one in snapshots},
        targets=targets(),
        jobs={job.id: _view(job, snapshots, now) for job in Job.objects.filter(id__in=job_ids)},
        lost_slots=frozenset({one.slot_id for one in held} - still_held(held=held)),
        give_to_interactive=interactive_waiters(),
        give_to_batch=_to_share(instance_id, holders) if may_give else 0,
        trials=frozenset(one.engine_id for one in found if one.is_breaker_open),
    )


def _tried(snapshot: EngineSnapshot) -> EngineSnapshot:
    """An engine whose breaker is open gets one slot's worth of trial when its pause is over."""
    if not snapshot.is_breaker_open or not snapshot.is_online:
        return snapshot
    if not take_trial(engine_id=snapshot.engine_id, pause_ms=PAUSE_MS):
        return snapshot
    return replace(snapshot, is_breaker_open=False, slots=1)


def _view(job: Job, snapshots: Sequence[EngineSnapshot], now: float) -> JobView:
    options = JobOptions.from_json(job.options)
    decision = choose(request_of(job.id, options), snapshots, now, settings.DPL_SCHEDULING)
    aborted = job.state in (JobState.STOPPED, JobState.COMPLETED, JobState.FAILED) or (
        job.state == JobState.STOPPING and job.stop_mode == StopMode.ABORT
    )
    return JobView(job.id, options, aborted or job.state == JobState.STOPPING, aborted, decision)


def request_of(job_id: str, options: JobOptions) -> Request:
    """What a job's items ask of the scheduler."""
    return Request(
        model=options.model,
        nodes=frozenset(options.nodes),
        holder=f"job:{job_id}",
        needs_lock=options.exclusive,
    )


def interactive_waiters() -> dict[int | None, int]:
    """Engine (None: any) → processes that wait for a slot of it for somebody who sits before a screen."""
    waiting = SlotWaiter.objects.filter(work_class=INTERACTIVE).exclude(owner_is_dead("owner"))
    return dict(Counter(waiting.values_list("engine_id", flat=True)))


def _to_share(instance_id: uuid.UUID, holders: Mapping[str, int]) -> int:
    """How many slots to hand to other drains that wait with fewer."""
    mine = holders.get(instance_id.hex, 0)
    waiting = SlotWaiter.objects.filter(work_class=BATCH).exclude(owner_id=instance_id)
    others = [
        holders.get(owner.hex, 0)
        for owner in waiting.exclude(owner_is_dead("owner")).values_list("owner_id", flat=True)
    ]
    given = 0
    for count in others:
        while may_share(mine - given, count):
            given, count = given + 1, count + 1
    return given
