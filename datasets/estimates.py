"""How long a dataset would take, from what a few items took and what engines were measured at. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Sample:
    """What the items that were tried took: by engine the mean seconds, over all the means of seconds and tokens."""

    items: int = 0
    seconds: float | None = None
    tokens_in: float | None = None
    tokens_out: float | None = None
    by_engine: Mapping[int, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Bench:
    """An engine that may take the items: its slots, and what it was measured at with the model, None if never."""

    engine_id: int
    node_id: int
    node_name: str
    slots: int
    tokens_per_second: float | None = None
    seconds: float | None = None


def estimate(rows: int, sample: Sample, benches: Sequence[Bench]) -> dict[str, Any]:
    """Seconds for `rows` rows with all these engines at work, None while nothing tells; each node with its share.

    An engine's seconds per item are, the first of these that is known: those of the sample on it, the sample's
    tokens at the engine's measured speed, its measured seconds per request, the sample's mean.
    """
    told = [(bench, *seconds_on(bench, sample)) for bench in benches if bench.slots > 0]
    known = [(bench, seconds, basis) for bench, seconds, basis in told if seconds]
    rate = sum(bench.slots / seconds for bench, seconds, _ in known)
    # The last item needs its own time, however many machines there are.
    shortest = min((seconds for _, seconds, _ in known), default=0.0)
    return {
        "rows": rows,
        "seconds": round(max(rows / rate, shortest), 1) if rate else None,
        "rate_per_s": round(rate, 3) if rate else None,
        "tokens": {"prompt": _times(rows, sample.tokens_in), "completion": _times(rows, sample.tokens_out)},
        "sample": {"items": sample.items, "mean_s": _rounded(sample.seconds)},
        "nodes": [
            {
                "id": bench.node_id,
                "name": bench.node_name,
                "slots": bench.slots,
                "item_s": _rounded(seconds),
                "share": round(bench.slots / seconds / rate, 4),
                "basis": basis,
            }
            for bench, seconds, basis in known
        ],
    }


def seconds_on(bench: Bench, sample: Sample) -> tuple[float | None, str]:
    """How long one item takes on an engine, and what that is taken from."""
    if bench.engine_id in sample.by_engine:
        return sample.by_engine[bench.engine_id], "tried"
    if bench.tokens_per_second and sample.tokens_out:
        return sample.tokens_out / bench.tokens_per_second, "measured"
    if bench.seconds:
        return bench.seconds, "measured"
    return sample.seconds, "assumed"


def _times(rows: int, mean: float | None) -> int | None:
    return None if mean is None else round(rows * mean)


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)
