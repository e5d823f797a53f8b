"""Decides which numbers of the gateway's metrics a batch of records raises, and bounds their labels. Pure.

Labels are models and nodes that there are, never a client's words: a request that no engine could take has
neither. Beyond MOST_MODELS a model's numbers go to `other`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Collection, Iterable
from typing import NamedTuple

from inference.records import CANCELLED, RequestRecord

MOST_MODELS = 100
OTHER, NONE = "other", "none"
REQUESTS, TOKENS = "requests", "tokens"
FAILOVERS, CANCELS = "failovers", "cancels"
TTFT, DURATION = "ttft_seconds", "duration_seconds"
SUM = "sum"
"""The label of a histogram's sum; its other labels are upper bounds of buckets."""
BUCKETS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
ENDLESS = "+Inf"
BOUNDS = (*map(str, BUCKETS), ENDLESS)


class Series(NamedTuple):
    """One number: `label` is an outcome, a kind of tokens, or a bucket. A tuple: it is hashed ten times a request."""

    name: str
    model: str
    node: str
    label: str = ""


def metered(records: Iterable[RequestRecord], known_models: Collection[str]) -> dict[Series, float]:
    """By how much each number rises; `known_models` have their own label already."""
    labels = _Labels(known_models)
    raised: defaultdict[tuple[str, str, str, str], float] = defaultdict(float)
    for record in records:
        last = record.last
        model, node = labels.of(last.model), last.node_name or NONE
        raised[REQUESTS, model, node, record.outcome] += 1
        if record.outcome == CANCELLED:
            raised[CANCELS, model, node, ""] += 1
        for attempt in record.failovers:
            raised[FAILOVERS, labels.of(attempt.model), attempt.node_name or NONE, ""] += 1
        if last.engine_id is not None:
            _observe(raised, record, model, node)
    return {Series(*place): value for place, value in raised.items()}


def _observe(
    raised: defaultdict[tuple[str, str, str, str], float], record: RequestRecord, model: str, node: str
) -> None:
    """What is only known of requests that an engine had."""
    if record.prompt_tokens:
        raised[TOKENS, model, node, "prompt"] += record.prompt_tokens
    if record.completion_tokens:
        raised[TOKENS, model, node, "completion"] += record.completion_tokens
    for name, milliseconds in ((TTFT, record.ttft_ms), (DURATION, record.duration_ms)):
        if milliseconds is not None:
            seconds = milliseconds / 1000
            raised[name, model, node, BOUNDS[bisect_left(BUCKETS, seconds)]] += 1
            raised[name, model, node, SUM] += seconds


class _Labels:
    """Gives models their label, as long as there is room."""

    def __init__(self, known: Collection[str]) -> None:
        self._known = set(known)

    def of(self, model: str) -> str:
        """The label of a model."""
        if not model:
            return NONE
        if model not in self._known and len(self._known - {OTHER, NONE}) >= MOST_MODELS:
            return OTHER
        self._known.add(model)
        return model
