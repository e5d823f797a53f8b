"""The shape of GET /status, field by field. `None` stands for unknown; nothing unknown is ever 0."""

from __future__ import annotations

from typing import TypedDict


class LockPayload(TypedDict):
    """The lock that stands; `expires_at` is ISO 8601 UTC."""

    id: str
    owner: str
    installation: str | None
    reason: str
    expires_at: str


class CpuPayload(TypedDict):
    """The processor; `percent` is of all cores together, 0 to 100."""

    model: str | None
    logical_cores: int | None
    percent: float | None
    load1: float | None
    temperature_c: float | None


class SpacePayload(TypedDict):
    """Memory or swap."""

    total_bytes: int | None
    used_bytes: int | None
    percent: float | None


class FilesystemPayload(TypedDict):
    """One mounted filesystem."""

    mount: str
    total_bytes: int
    used_bytes: int
    percent: float


class DiskPayload(TypedDict):
    """All disks together, in 10^6 bytes per second."""

    read_mb_s: float | None
    write_mb_s: float | None


class NetworkPayload(TypedDict):
    """All physical interfaces together, in 10^6 bits per second."""

    rx_mbps: float | None
    tx_mbps: float | None


class GpuProcessPayload(TypedDict):
    """One process that holds memory of a GPU; `command` has its secrets masked."""

    pid: int
    name: str | None
    user: str | None
    container: str | None
    started_at: str | None
    memory_bytes: int | None
    command: str | None


class GpuPayload(TypedDict):
    """One GPU."""

    index: int
    uuid: str | None
    name: str | None
    vendor: str
    utilization_percent: float | None
    memory_total_bytes: int | None
    memory_used_bytes: int | None
    temperature_c: float | None
    power_w: float | None
    power_limit_w: float | None
    processes: list[GpuProcessPayload]


class StatusPayload(TypedDict):
    """All that one machine says of itself."""

    agent_version: str
    hostname: str
    os: str
    boot_id: str
    sampled_at: str
    uptime_s: float | None
    locked: bool
    lock: LockPayload | None
    model: str | None
    models: list[str]
    cpu: CpuPayload
    memory: SpacePayload
    swap: SpacePayload
    filesystems: list[FilesystemPayload]
    disk: DiskPayload
    network: NetworkPayload
    gpus: list[GpuPayload]
    gpu_error: str | None
