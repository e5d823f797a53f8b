"""How a reading looks in FlowLine's words: its fields, its units, its types. Pure.

FlowLine's page knows no null but for the processor's temperature, so what is unknown is 0 or "Unknown" here,
on this surface alone. RAM and swap are GiB, memory of GPUs and processes MiB, as the page labels them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypedDict

from inference.flowline.places import Place, harmless
from nodes.answers import moment
from nodes.payloads import Cpu, Gpu, GpuProcess, Space, Status

UNKNOWN = "Unknown"
HOST_PROCESS = "Host Process"
"""What stands in place of a container's name for a process that is in none."""
MOST_ARGUMENTS = 5
_GIB, _MIB = 2**30, 2**20
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class Slave(TypedDict):
    """One machine. `data` is null, and `error` says why, while its agent tells nothing; `last_seen` is in seconds."""

    name: str
    ip: str
    port: int
    online: bool
    error: str | None
    last_seen: float | None
    data: dict[str, Any] | None


def slave(place: Place, *, last_seen: float | None, status: Status | None, error: str) -> Slave:
    """A machine: with its reading, or without one and with what is wrong."""
    is_online = status is not None and not error
    return {
        "name": place.name,
        "ip": place.shown_ip,
        "port": place.port,
        "online": is_online,
        "error": None if is_online else error,
        "last_seen": last_seen,
        "data": _data(status, last_seen) if status is not None and is_online else None,
    }


def uptime(seconds: float) -> dict[str, int]:
    """A duration as days, hours, minutes and seconds."""
    minutes, rest = divmod(max(int(seconds), 0), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    return {"days": days, "hours": hours, "minutes": minutes, "seconds": rest}


def _data(status: Status, last_seen: float | None) -> dict[str, Any]:
    sampled = moment(status["sampled_at"])
    return {
        "timestamp": sampled.timestamp() if sampled else last_seen or 0.0,
        "system": _system(status),
        "gpus": [_gpu(gpu, at, sampled) for at, gpu in enumerate(status["gpus"])],
    }


def _system(status: Status) -> dict[str, Any]:
    cpu: Cpu = status["cpu"]
    return {
        "hostname": harmless(status["hostname"] or UNKNOWN),
        "os": harmless(status["os"] or UNKNOWN),
        "cpu_model": harmless(cpu["model"] or UNKNOWN),
        "cpu_cores": cpu["logical_cores"] or 0,
        "cpu_usage": _number(cpu["percent"]),
        "cpu_temperature": {"package": _temperature(cpu["temperature_c"])},
        "memory": _space(status["memory"], free="available"),
        "swap": _space(status["swap"], free="free"),
    }


def _space(space: Space, *, free: str) -> dict[str, float]:
    total, used = space["total_bytes"] or 0, space["used_bytes"] or 0
    percent = space["percent"]
    if percent is None:
        percent = 100 * used / total if total else 0.0
    return {
        "total": round(total / _GIB, 2),
        "used": round(used / _GIB, 2),
        free: round(max(total - used, 0) / _GIB, 2),
        "percent": _number(percent),
    }


def _gpu(gpu: Gpu, position: int, sampled: datetime | None) -> dict[str, Any]:
    total, used = gpu["memory_total_bytes"] or 0, gpu["memory_used_bytes"] or 0
    return {
        "id": position if gpu["index"] is None else gpu["index"],
        "name": gpu["name"] or UNKNOWN,
        "memory": {"total": _mib(total), "used": _mib(used), "free": _mib(max(total - used, 0))},
        "utilization": round(gpu["utilization_percent"] or 0),
        "temperature": round(gpu["temperature_c"] or 0),
        "power": {"current": _number(gpu["power_w"]), "max": _number(gpu["power_limit_w"])},
        "processes": [_process(process, sampled) for process in gpu["processes"]],
    }


def _process(process: GpuProcess, sampled: datetime | None) -> dict[str, Any]:
    """`username` is the container's name, which is what the page shows in that column."""
    started = moment(process["started_at"])
    command = (process["command"] or "").split()
    return {
        "pid": process["pid"] or 0,
        "name": process["name"] or UNKNOWN,
        "username": process["container"] or (UNKNOWN if process["pid"] is None else HOST_PROCESS),
        "start_time": _started(started) if started else UNKNOWN,
        "elapsed_time": _elapsed((sampled - started).total_seconds()) if started and sampled else UNKNOWN,
        "memory_mb": _mib(process["memory_bytes"] or 0),
        "cmdline": " ".join(command[:MOST_ARGUMENTS]),
    }


def _started(at: datetime) -> str:
    """As `ps -o lstart` writes it, in UTC."""
    return f"{_DAYS[at.weekday()]} {_MONTHS[at.month - 1]} {at.day:2d} {at:%H:%M:%S} {at.year}"


def _elapsed(seconds: float) -> str:
    """As `ps -o etime` writes it: [[dd-]hh:]mm:ss."""
    told: Mapping[str, int] = uptime(seconds)
    short = f"{told['minutes']:02d}:{told['seconds']:02d}"
    if not told["days"] and not told["hours"]:
        return short
    days = f"{told['days']:02d}-" if told["days"] else ""
    return f"{days}{told['hours']:02d}:{short}"


def _mib(count: int) -> float:
    return round(count / _MIB, 1)


def _number(value: float | None) -> float:
    return round(float(value), 1) if value is not None and math.isfinite(value) else 0.0


def _temperature(value: float | None) -> float | None:
    return None if value is None else _number(value)
