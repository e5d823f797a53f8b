"""A GPU's row and a process' row before anything is known of them, so that each vendor fills in what it has."""

from __future__ import annotations

from agent.payloads import GpuPayload, GpuProcessPayload
from agent.processes import ProcessBook


def unknown_gpu(vendor: str, index: int = 0) -> GpuPayload:
    """A GPU of which nothing is known but its vendor; the survey gives it its place among the others."""
    return {
        "index": index,
        "uuid": None,
        "name": None,
        "vendor": vendor,
        "utilization_percent": None,
        "memory_total_bytes": None,
        "memory_used_bytes": None,
        "temperature_c": None,
        "power_w": None,
        "power_limit_w": None,
        "clock_mhz": None,
        "memory_clock_mhz": None,
        "throttle_reasons": None,
        "ecc_errors": None,
        "xid": None,
        "health": None,
        "mig_devices": [],
        "processes": [],
    }


def gpu_process(
    book: ProcessBook, pid: int, memory_bytes: int | None, name: str | None = None
) -> GpuProcessPayload:
    """A process that holds memory of a GPU; `name` is the driver's, for where the system tells none."""
    facts = book.describe(pid)
    return {
        "pid": pid,
        "name": facts.name or name,
        "user": facts.user,
        "container": facts.container,
        "started_at": facts.started_at,
        "elapsed_s": book.elapsed_s(facts),
        "memory_bytes": memory_bytes,
        "command": facts.command,
    }
