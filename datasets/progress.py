"""What a job's sums mean: rates, time left, shares, percentiles, idle time. Pure: no Django, no clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from inference import errors

RATE_WINDOW_S = 60.0
WORKER_DIED = "worker_died"


@dataclass(frozen=True, slots=True)
class NodeSums:
    """What one node did for a job. Times are epoch milliseconds by the database's clock.

    `first_ms` is when its first recorded item began, `durations_ms` are those of its latest successes.
    """

    node_id: int
    succeeded: int = 0
    failed: int = 0
    running: int = 0
    busy_ms: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    first_ms: int | None = None
    restarts: int = 0
    durations_ms: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class Span:
    """Over which time a job is measured: from its start to its end, or to now while it runs."""

    start_ms: int
    end_ms: int
    is_running: bool

    @property
    def seconds(self) -> float:
        """How long it is; a millisecond at least."""
        return max(self.end_ms - self.start_ms, 1) / 1000


@dataclass(frozen=True, slots=True)
class Recent:
    """Recorded items that rates are taken from, their completion tokens, and when the first of them began."""

    done: int
    tokens: int
    first_ms: int | None = None


def rates(span: Span | None, recent: Recent) -> tuple[float, float]:
    """Items and completion tokens per second.

    Of a running job over the last minute, or since its first recent item began where that is less, so that
    a job which has just gone on is not measured by the time it stood; of an ended job over the whole of it.
    """
    if span is None:
        return 0.0, 0.0
    seconds = span.seconds
    if span.is_running:
        begun_ms = max(span.start_ms, recent.first_ms or 0)
        seconds = min(max(span.end_ms - begun_ms, 1) / 1000, RATE_WINDOW_S)
    return round(recent.done / seconds, 3), round(recent.tokens / seconds, 3)


def eta_s(*, left: int, rate_per_s: float, is_running: bool) -> float | None:
    """Seconds until all is done at this rate; None while that cannot be said."""
    if not is_running or rate_per_s <= 0:
        return None
    return round(left / rate_per_s, 1)


def percentile_s(durations_ms: Sequence[int], percent: float) -> float | None:
    """A percentile (nearest rank) of durations, in seconds; None without any. `durations_ms` must be sorted."""
    if not durations_ms:
        return None
    rank = -(-len(durations_ms) * percent // 100)
    return durations_ms[max(int(rank), 1) - 1] / 1000


def idle_s(sums: NodeSums, span: Span, *, slots: int) -> float:
    """How long none of the node's slots worked, from its first item's start to the job's end or now.

    The summed durations of its recorded items, spread evenly over its slots, count as work; so tries that
    were repeated and items under way count as idle time, and work that overlaps on fewer slots than the node
    has counts as less. With one slot it is exact but for those.
    """
    if sums.first_ms is None:
        return 0.0
    return round(max(span.end_ms - sums.first_ms - sums.busy_ms / max(slots, 1), 0) / 1000, 3)


def node_view(
    sums: NodeSums, *, name: str, slots: int, span: Span | None, all_succeeded: int
) -> dict[str, Any]:
    """One node's line of the detailed status."""
    ordered = sorted(sums.durations_ms)
    lasted_ms = span.end_ms - sums.first_ms if span and sums.first_ms is not None else 0
    return {
        "id": sums.node_id,
        "name": name,
        "succeeded": sums.succeeded,
        "failed": sums.failed,
        "running": sums.running,
        "share": round(sums.succeeded / all_succeeded, 4) if all_succeeded else 0.0,
        "tokens_per_second": round(sums.tokens_out * 1000 / lasted_ms, 3) if lasted_ms > 0 else 0.0,
        "p50_s": percentile_s(ordered, 50),
        "p95_s": percentile_s(ordered, 95),
        "p99_s": percentile_s(ordered, 99),
        "idle_s": idle_s(sums, span, slots=slots) if span else 0.0,
    }


def is_worth_retrying(cause: str) -> bool:
    """Whether an item that failed of this cause may succeed when it is tried again."""
    return _RETRYABLE.get(cause, False)


def _by_code(kind: type[errors.InferenceError]) -> dict[str, bool]:
    found = {kind.code: kind.is_retryable}
    for inner in kind.__subclasses__():
        found |= _by_code(inner)
    return found


_RETRYABLE: Mapping[str, bool] = _by_code(errors.InferenceError) | {WORKER_DIED: False}
