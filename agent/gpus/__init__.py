"""What a GPU vendor must tell: the one interface that each vendor's file in this folder fills in.

To add a vendor: one file with a class that satisfies GpuSource, and its line in `agent.gpus.survey.sources`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from agent.payloads import GpuPayload


@dataclass(frozen=True)
class GpuReading:
    """The GPUs that answered, and in words what did not; `error` is None when all is well."""

    gpus: tuple[GpuPayload, ...] = ()
    error: str | None = None


class GpuUnavailableError(Exception):
    """The vendor's library or driver does not work now; the text says why and is shown to people."""


class GpuAbsentError(GpuUnavailableError):
    """This machine has no driver of this vendor: nothing is broken, there is just nothing to ask."""


class GpuSource(Protocol):
    """One vendor's GPUs. Used by one thread."""

    vendor: str

    def read(self) -> GpuReading:
        """One sample of every GPU; opens the vendor's library where it is not open. A field that a GPU does
        not tell is None. Raises GpuUnavailableError when nothing can be told at all."""

    def close(self) -> None:
        """Let go of the library, so that the next read opens it anew. Never raises."""
