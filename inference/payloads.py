"""The fleet as clients see it: the shapes of GET /api/status/all. Null is unknown, never 0."""

from __future__ import annotations

from typing import TypedDict

from nodes.selectors import LockView


class GpuView(TypedDict):
    """One GPU's load."""

    index: int | None
    name: str | None
    vendor: str | None
    utilization_percent: float | None
    memory_used_bytes: int | None
    memory_total_bytes: int | None
    temperature_c: float | None
    power_w: float | None


class MetricsView(TypedDict):
    """One machine's load. Mbps are 10^6 bits per second, MB/s 10^6 bytes per second."""

    cpu_percent: float | None
    memory_percent: float | None
    memory_used_bytes: int | None
    memory_total_bytes: int | None
    net_rx_mbps: float | None
    net_tx_mbps: float | None
    disk_read_mb_s: float | None
    disk_write_mb_s: float | None
    gpus: list[GpuView]
    gpu_error: str | None


class SlotsView(TypedDict):
    """How many requests at once, and how many there are now."""

    total: int
    busy: int


class ModelView(TypedDict):
    """A model that an engine has."""

    name: str
    resident: bool
    size_bytes: int | None


class EngineView(TypedDict):
    """One engine. `breaker_open`: live traffic failed there, so that it is spared for now."""

    id: int
    kind: str
    base_url: str
    online: bool
    reason: str
    enabled: bool
    breaker_open: bool
    server: str
    models: list[ModelView]


class NodeView(TypedDict):
    """One node. `online` holds for a degraded one too: something on it still works.

    `clock_skew_s`: how far its agent's clock is ahead of ours, to about half a second.
    """

    id: int
    name: str
    environment: str
    labels: dict[str, str]
    online: bool
    state: str
    reason: str
    since: str | None
    locked: bool
    lock: LockView | None
    slots: SlotsView
    engines: list[EngineView]
    models: list[str]
    sampled_at: str | None
    clock_skew_s: float | None
    metrics: MetricsView | None


class FleetView(TypedDict):
    """The whole fleet at one moment."""

    generated_at: str | None
    nodes: list[NodeView]
