"""Measured speed of each engine and model: gathered by processes, kept in one row each, weighted to the present."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from django.db import transaction
from django.utils import timezone

from inference.models import EngineSpeed

HALF_LIFE_SAMPLES = 20.0


@dataclass(slots=True)
class Tally:
    """What one process measured of one engine and model since it last wrote."""

    requests: int = 0
    seconds: float = 0.0
    tokens: int = 0

    def add(self, *, seconds: float, tokens: int | None) -> None:
        """Count one finished request."""
        self.requests += 1
        self.seconds += seconds
        self.tokens += tokens or 0

    @property
    def seconds_per_request(self) -> float:
        """The mean."""
        return self.seconds / max(self.requests, 1)

    @property
    def tokens_per_second(self) -> float:
        """Tokens of a request ÷ its seconds, over all requests of the tally."""
        return self.tokens / self.seconds if self.seconds > 0 else 0.0


def weighted(old: float, new: float, samples: int) -> float:
    """The old mean moved towards the new by as many samples as there are; half forgotten after HALF_LIFE_SAMPLES."""
    keep = math.pow(0.5, samples / HALF_LIFE_SAMPLES)
    return old * keep + new * (1 - keep)


def record(*, tallies: Mapping[tuple[int, str], Tally]) -> None:
    """Fold tallies (by engine id and model) into the rows, in one transaction."""
    with transaction.atomic():
        for (engine_id, model), tally in tallies.items():
            if tally.requests:
                _fold(engine_id, model, tally)


def _fold(engine_id: int, model: str, tally: Tally) -> None:
    row, is_new = EngineSpeed.objects.get_or_create(
        engine_id=engine_id,
        model=model,
        defaults={
            "tokens_per_second": tally.tokens_per_second,
            "seconds_per_request": tally.seconds_per_request,
            "samples": tally.requests,
        },
    )
    if is_new:
        return
    EngineSpeed.objects.filter(pk=row.pk).update(
        tokens_per_second=weighted(row.tokens_per_second, tally.tokens_per_second, tally.requests),
        seconds_per_request=weighted(row.seconds_per_request, tally.seconds_per_request, tally.requests),
        samples=row.samples + tally.requests,
        updated_at=timezone.now(),
    )
