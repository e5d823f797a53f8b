"""What agents and DPL tell each other, as types: the shapes of /status, /lock and /unlock."""

from __future__ import annotations

from typing import TypedDict


class AgentLock(TypedDict):
    """A lock that stands on an agent; `expires_at` is ISO 8601 by the agent's clock."""

    id: str
    owner: str
    installation: str | None
    reason: str
    expires_at: str | None


class LockRequest(TypedDict):
    """The body of the agent's POST /lock."""

    id: str
    owner: str
    installation: str
    reason: str
    ttl_s: float


class UnlockRequest(TypedDict):
    """The body of the agent's POST /unlock."""

    id: str
    installation: str


class ForeignLock(AgentLock):
    """An agent's lock that is not ours, as it is kept; `expires_ms` is by the database's clock."""

    expires_ms: int


class Cpu(TypedDict):
    """The processor; `percent` is of all cores together, `per_core` of each, empty where it is not told."""

    model: str | None
    physical_cores: int | None
    logical_cores: int | None
    percent: float | None
    per_core: list[float | None]
    load1: float | None
    temperature_c: float | None


class Space(TypedDict):
    """Memory or swap."""

    total_bytes: int | None
    used_bytes: int | None
    percent: float | None


class Filesystem(Space):
    """One mounted filesystem."""

    mount: str | None


class Disk(TypedDict):
    """All disks together, 10^6 bytes per second."""

    read_mb_s: float | None
    write_mb_s: float | None


class Network(TypedDict):
    """All interfaces together, 10^6 bits per second."""

    rx_mbps: float | None
    tx_mbps: float | None


class GpuProcess(TypedDict):
    """One process that holds memory of a GPU."""

    pid: int | None
    name: str | None
    user: str | None
    container: str | None
    started_at: str | None
    elapsed_s: float | None
    memory_bytes: int | None
    command: str | None


class EccErrors(TypedDict):
    """Memory errors of a GPU since its driver was loaded."""

    corrected: int | None
    uncorrected: int | None


class MigDevice(TypedDict):
    """One part of a divided GPU; its memory is also counted in the GPU's."""

    uuid: str | None
    name: str | None
    memory_total_bytes: int | None
    memory_used_bytes: int | None


class Gpu(TypedDict):
    """One GPU. `throttle_reasons` is empty when nothing holds it back, None when that is not told."""

    index: int | None
    uuid: str | None
    name: str | None
    vendor: str | None
    utilization_percent: float | None
    memory_total_bytes: int | None
    memory_used_bytes: int | None
    temperature_c: float | None
    power_w: float | None
    power_limit_w: float | None
    clock_mhz: float | None
    memory_clock_mhz: float | None
    throttle_reasons: list[str] | None
    ecc_errors: EccErrors | None
    xid: int | None
    health: str | None
    mig_devices: list[MigDevice]
    processes: list[GpuProcess]


class FoundEngine(TypedDict):
    """An engine that an agent found on its own machine; the address is as seen from there."""

    base_url: str
    kind: str | None


class Status(TypedDict):
    """The answer of the agent's GET /status; null is unknown."""

    agent_version: str
    hostname: str | None
    os: str | None
    boot_id: str | None
    sampled_at: str | None
    uptime_s: float | None
    locked: bool
    lock: AgentLock | None
    model: str | None
    models: list[str]
    engines: list[FoundEngine]
    cpu: Cpu
    memory: Space
    swap: Space
    filesystems: list[Filesystem]
    disk: Disk
    network: Network
    gpus: list[Gpu]
    gpu_error: str | None
