"""GET /api/info in the shape of FlowLine's slave: its field names and its units. Pure.

RAM and swap in GiB with two digits, GPU and process memory in MiB with one, power in W with one and 0 where it is
not told, `username` being the container: this is what that system's pages and scripts read.
"""

from __future__ import annotations

import time
from datetime import datetime
from typing import Any

from agent.payloads import GpuPayload, GpuProcessPayload, SpacePayload, StatusPayload

_GIB, _MIB = 1 << 30, 1 << 20


def info_payload(status: StatusPayload, now: float) -> dict[str, Any]:
    """The whole answer; `now` is epoch seconds."""
    cpu, memory = status["cpu"], status["memory"]
    total, used = memory["total_bytes"] or 0, memory["used_bytes"] or 0
    heat = cpu["temperature_c"]
    return {
        "timestamp": now,
        "system": {
            "hostname": status["hostname"],
            "os": status["os"],
            "cpu_model": cpu["model"] or "Unknown",
            "cpu_cores": cpu["logical_cores"] or 0,
            "cpu_usage": cpu["percent"] if cpu["percent"] is not None else 0.0,
            "cpu_temperature": {"package": round(heat, 1) if heat is not None else None},
            "memory": {**_space(memory), "available": round((total - used) / _GIB, 2)},
            "swap": _swap(status["swap"]),
        },
        "gpus": [_gpu(gpu) for gpu in status["gpus"]],
    }


def _space(space: SpacePayload) -> dict[str, float]:
    return {
        "total": round((space["total_bytes"] or 0) / _GIB, 2),
        "used": round((space["used_bytes"] or 0) / _GIB, 2),
        "percent": space["percent"] or 0.0,
    }


def _swap(swap: SpacePayload) -> dict[str, float]:
    free = (swap["total_bytes"] or 0) - (swap["used_bytes"] or 0)
    return {**_space(swap), "free": round(free / _GIB, 2)}


def _gpu(gpu: GpuPayload) -> dict[str, Any]:
    total, used = gpu["memory_total_bytes"] or 0, gpu["memory_used_bytes"] or 0
    return {
        "id": gpu["index"],
        "name": gpu["name"] or "Unknown",
        "memory": {
            "total": round(total / _MIB, 1),
            "used": round(used / _MIB, 1),
            "free": round(max(0, total - used) / _MIB, 1),
        },
        "utilization": round(gpu["utilization_percent"] or 0),
        "temperature": round(gpu["temperature_c"] or 0),
        "power": {
            "current": round(gpu["power_w"] or 0.0, 1),
            "max": round(gpu["power_limit_w"] or 0.0, 1),
        },
        "processes": [_process(process) for process in gpu["processes"]],
    }


def _process(process: GpuProcessPayload) -> dict[str, Any]:
    is_known = process["name"] is not None
    return {
        "pid": process["pid"],
        "name": process["name"] or "Unknown",
        "username": process["container"] or ("Host Process" if is_known else "Unknown"),
        "start_time": _lstart(process["started_at"]),
        "elapsed_time": _etime(process["elapsed_s"]),
        "memory_mb": round((process["memory_bytes"] or 0) / _MIB, 1),
        "cmdline": process["command"] or "",
    }


def _lstart(started_at: str | None) -> str:
    """A start as `ps -o lstart` writes it, in this machine's time."""
    if started_at is None:
        return "Unknown"
    # Not strftime, whose names of days and months follow the locale.
    return time.ctime(datetime.fromisoformat(started_at).timestamp())


def _etime(elapsed_s: float | None) -> str:
    """A duration as `ps -o etime` writes it: [[days-]hours:]minutes:seconds."""
    if elapsed_s is None:
        return "Unknown"
    minutes, seconds = divmod(int(elapsed_s), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days}-{hours:02d}:{minutes:02d}:{seconds:02d}"
    return f"{hours:02d}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes:02d}:{seconds:02d}"
