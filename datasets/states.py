"""The lives of a job, a shard and an item, as data."""

from __future__ import annotations

from dpl_site.lib.choices import Choices


class JobState(Choices):
    """importing: rows are being written; queued: none has run; stopping: what runs may finish; the rest is plain."""

    IMPORTING = "importing"
    QUEUED = "queued"
    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"
    COMPLETED = "completed"
    FAILED = "failed"


class ShardState(Choices):
    """queued: waits for a worker; running: a worker's; done: each of its items is recorded."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"


class ItemState(Choices):
    """pending: waits; running: dispatched by the shard's owner; the other two are recorded results."""

    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


class StopMode(Choices):
    """drain: what runs may finish; abort: it is cut."""

    NONE = ""
    DRAIN = "drain"
    ABORT = "abort"


JOB_MOVES: dict[JobState, frozenset[JobState]] = {
    JobState.IMPORTING: frozenset({JobState.QUEUED, JobState.RUNNING, JobState.STOPPING, JobState.FAILED}),
    JobState.QUEUED: frozenset({JobState.RUNNING, JobState.STOPPING, JobState.COMPLETED, JobState.FAILED}),
    JobState.RUNNING: frozenset({JobState.STOPPING, JobState.COMPLETED, JobState.FAILED}),
    JobState.STOPPING: frozenset({JobState.STOPPED, JobState.COMPLETED, JobState.FAILED}),
    JobState.STOPPED: frozenset({JobState.QUEUED, JobState.IMPORTING}),
    JobState.COMPLETED: frozenset({JobState.QUEUED}),
    JobState.FAILED: frozenset({JobState.QUEUED, JobState.IMPORTING}),
}
UNFINISHED = frozenset({JobState.IMPORTING, JobState.QUEUED, JobState.RUNNING, JobState.STOPPING})
WORKABLE = frozenset({JobState.IMPORTING, JobState.QUEUED, JobState.RUNNING})


def may_move(old: JobState, new: JobState) -> bool:
    """Whether a job may go from one state to another."""
    return new in JOB_MOVES[old]
