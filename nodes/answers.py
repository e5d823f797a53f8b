"""How whatever an agent answered is read as its status. Pure.

An agent is another machine's program: what has the wrong type reads as null, what is too long is cut.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any

from nodes.payloads import (
    AgentLock,
    Cpu,
    Disk,
    EccErrors,
    Filesystem,
    FoundEngine,
    Gpu,
    GpuProcess,
    MigDevice,
    Network,
    Space,
    Status,
)

MAX_TEXT = 300
MAX_GPUS = 64
MAX_PROCESSES = 128
MAX_FILESYSTEMS = 64
MAX_MODELS = 500
MAX_CORES = 1024
MAX_ENGINES = 16
MAX_REASONS = 16
MAX_MIG_DEVICES = 16
_LARGEST = 1e18
# Control characters, and halves of surrogate pairs, which neither UTF-8 nor PostgreSQL can hold.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")


class NoStatus(ValueError):
    """The answer is not an agent's; the text says what it looks like instead."""


def parse_status(body: bytes) -> Status:
    """An agent's answer to GET /status. Raises NoStatus when it is something else."""
    return status_of(parse_object(body))


def status_of(told: dict[str, Any]) -> Status:
    """The same, of the JSON object that the answer is."""
    version = _text(told, "agent_version")
    if version is None:
        raise NoStatus("JSON without agent_version")
    lock = parse_lock(told.get("lock"))
    return {
        "agent_version": version,
        "hostname": _text(told, "hostname"),
        "os": _text(told, "os"),
        "boot_id": _text(told, "boot_id"),
        "sampled_at": _moment(told, "sampled_at"),
        "uptime_s": _number(told, "uptime_s"),
        "locked": lock is not None,
        "lock": lock,
        "model": _text(told, "model"),
        "models": _texts(told, "models", MAX_MODELS),
        "engines": _engines(told),
        "cpu": _cpu(_object(told, "cpu")),
        "memory": _space(_object(told, "memory")),
        "swap": _space(_object(told, "swap")),
        "filesystems": [_filesystem(one) for one in _objects(told, "filesystems", MAX_FILESYSTEMS)],
        "disk": _disk(_object(told, "disk")),
        "network": _network(_object(told, "network")),
        "gpus": [_gpu(one) for one in _objects(told, "gpus", MAX_GPUS)],
        "gpu_error": _text(told, "gpu_error"),
    }


def parse_object(body: bytes) -> dict[str, Any]:
    """The JSON object that an answer is. Raises NoStatus with what it looks like instead."""
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        looks_like_a_page = body.lstrip()[:1] == b"<"
        raise NoStatus("a web page" if looks_like_a_page else "something that is not JSON") from None
    if not isinstance(told, dict):
        raise NoStatus("JSON that is no object")
    return told


def parse_lock(told: Any) -> AgentLock | None:
    """The lock that an agent tells of; one without an id still stands, so it counts with an empty one."""
    if not isinstance(told, dict) or not told:
        return None
    return {
        "id": _text(told, "id") or "",
        "owner": _text(told, "owner") or "the agent",
        "installation": _text(told, "installation"),
        "reason": _text(told, "reason") or "",
        "expires_at": _moment(told, "expires_at"),
    }


def clean(value: Any) -> str | None:
    """A text without control characters, cut to MAX_TEXT; None for what is no text."""
    return _UNPRINTABLE.sub(" ", value[:MAX_TEXT]) if isinstance(value, str) else None


def moment(text: str | None) -> datetime | None:
    """An ISO 8601 instant, UTC where it names no zone; None when it is none."""
    try:
        found = datetime.fromisoformat(text) if text else None
        return found and (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _cpu(told: dict[str, Any]) -> Cpu:
    return {
        "model": _text(told, "model"),
        "physical_cores": _count(told, "physical_cores"),
        "logical_cores": _count(told, "logical_cores"),
        "percent": _percent(told, "percent"),
        "per_core": [_percentage(one) for one in _list(told, "per_core", MAX_CORES)],
        "load1": _number(told, "load1"),
        "temperature_c": _number(told, "temperature_c", low=-273.15),
    }


def _space(told: dict[str, Any]) -> Space:
    return {
        "total_bytes": _count(told, "total_bytes"),
        "used_bytes": _count(told, "used_bytes"),
        "percent": _percent(told, "percent"),
    }


def _filesystem(told: dict[str, Any]) -> Filesystem:
    return {"mount": _text(told, "mount"), **_space(told)}


def _disk(told: dict[str, Any]) -> Disk:
    return {"read_mb_s": _number(told, "read_mb_s"), "write_mb_s": _number(told, "write_mb_s")}


def _network(told: dict[str, Any]) -> Network:
    return {"rx_mbps": _number(told, "rx_mbps"), "tx_mbps": _number(told, "tx_mbps")}


def _gpu(told: dict[str, Any]) -> Gpu:
    return {
        "index": _count(told, "index"),
        "uuid": _text(told, "uuid"),
        "name": _text(told, "name"),
        "vendor": _text(told, "vendor"),
        "utilization_percent": _percent(told, "utilization_percent"),
        "memory_total_bytes": _count(told, "memory_total_bytes"),
        "memory_used_bytes": _count(told, "memory_used_bytes"),
        "temperature_c": _number(told, "temperature_c", low=-273.15),
        "power_w": _number(told, "power_w"),
        "power_limit_w": _number(told, "power_limit_w"),
        "clock_mhz": _number(told, "clock_mhz"),
        "memory_clock_mhz": _number(told, "memory_clock_mhz"),
        "throttle_reasons": _reasons(told),
        "ecc_errors": _ecc(told.get("ecc_errors")),
        "xid": _count(told, "xid"),
        "health": _text(told, "health"),
        "mig_devices": [_mig(one) for one in _objects(told, "mig_devices", MAX_MIG_DEVICES)],
        "processes": [_process(one) for one in _objects(told, "processes", MAX_PROCESSES)],
    }


def _reasons(told: dict[str, Any]) -> list[str] | None:
    """Why a GPU is held back; a list that is none is not known, which is not the same as no reason."""
    is_told = isinstance(told.get("throttle_reasons"), list)
    return _texts(told, "throttle_reasons", MAX_REASONS) if is_told else None


def _ecc(told: Any) -> EccErrors | None:
    if not isinstance(told, dict):
        return None
    return {"corrected": _count(told, "corrected"), "uncorrected": _count(told, "uncorrected")}


def _mig(told: dict[str, Any]) -> MigDevice:
    return {
        "uuid": _text(told, "uuid"),
        "name": _text(told, "name"),
        "memory_total_bytes": _count(told, "memory_total_bytes"),
        "memory_used_bytes": _count(told, "memory_used_bytes"),
    }


def _engines(told: dict[str, Any]) -> list[FoundEngine]:
    found = [(_text(one, "base_url"), _text(one, "kind")) for one in _objects(told, "engines", MAX_ENGINES)]
    return [{"base_url": base_url, "kind": kind} for base_url, kind in found if base_url]


def _process(told: dict[str, Any]) -> GpuProcess:
    return {
        "pid": _count(told, "pid"),
        "name": _text(told, "name"),
        "user": _text(told, "user"),
        "container": _text(told, "container"),
        "started_at": _moment(told, "started_at"),
        "elapsed_s": _number(told, "elapsed_s"),
        "memory_bytes": _count(told, "memory_bytes"),
        "command": _text(told, "command"),
    }


def _object(told: dict[str, Any], name: str) -> dict[str, Any]:
    value = told.get(name)
    return value if isinstance(value, dict) else {}


def _list(told: dict[str, Any], name: str, most: int) -> list[Any]:
    value = told.get(name)
    return value[:most] if isinstance(value, list) else []


def _objects(told: dict[str, Any], name: str, most: int) -> list[dict[str, Any]]:
    return [one for one in _list(told, name, most) if isinstance(one, dict)]


def _texts(told: dict[str, Any], name: str, most: int) -> list[str]:
    return [text for text in map(clean, _list(told, name, most)) if text]


def _text(told: dict[str, Any], name: str) -> str | None:
    return clean(told.get(name))


def _moment(told: dict[str, Any], name: str) -> str | None:
    text = _text(told, name)
    return text if moment(text) else None


def _number(told: dict[str, Any], name: str, *, low: float = 0.0) -> float | None:
    return _measured(told.get(name), low)


def _measured(value: Any, low: float = 0.0) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if low <= value <= _LARGEST else None


def _percent(told: dict[str, Any], name: str) -> float | None:
    return _percentage(told.get(name))


def _percentage(told: Any) -> float | None:
    """0 to 100; rounding on the other side may pass the end a little."""
    value = _measured(told)
    return min(value, 100.0) if value is not None and value <= 101 else None


def _count(told: dict[str, Any], name: str) -> int | None:
    value = _number(told, name)
    return int(value) if value is not None else None
