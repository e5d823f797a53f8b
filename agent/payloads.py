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
    """The processor; `percent` is of all cores together, 0 to 100, and `per_core` of each, empty when unknown."""

    model: str | None
    physical_cores: int | None
    logical_cores: int | None
    percent: float | None
    per_core: list[float]
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
    elapsed_s: float | None
    memory_bytes: int | None
    command: str | None


class EccPayload(TypedDict):
    """Memory errors since the driver was loaded."""

    corrected: int | None
    uncorrected: int | None


class MigPayload(TypedDict):
    """One part of a card that is divided; its memory is also counted in the card's."""

    uuid: str | None
    name: str | None
    memory_total_bytes: int | None
    memory_used_bytes: int | None


class GpuPayload(TypedDict):
    """One GPU. `index` is its own among all vendors' of the machine.

    `throttle_reasons` is empty when nothing holds the GPU back, None when that is not told; `xid` is the last
    that NVIDIA's driver reported since the agent began; `health` is "OK" or says in a few words what is wrong.
    """

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
    clock_mhz: float | None
    memory_clock_mhz: float | None
    throttle_reasons: list[str] | None
    ecc_errors: EccPayload | None
    xid: int | None
    health: str | None
    mig_devices: list[MigPayload]
    processes: list[GpuProcessPayload]


class EnginePayload(TypedDict):
    """An engine that answers on this machine's loopback; `kind` is "ollama" or "openai"."""

    base_url: str
    kind: str


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
    engines: list[EnginePayload]
    cpu: CpuPayload
    memory: SpacePayload
    swap: SpacePayload
    filesystems: list[FilesystemPayload]
    disk: DiskPayload
    network: NetworkPayload
    gpus: list[GpuPayload]
    gpu_error: str | None
