"""What FlowLine's page reads of an answer, path by path: a reader that fails where the type is not the page's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Check = Callable[[Any], bool]


def number(value: Any) -> bool:
    """A JSON number: the page calls toFixed on it."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def whole(value: Any) -> bool:
    """A JSON number without a fraction."""
    return isinstance(value, int) and not isinstance(value, bool)


def text(value: Any) -> bool:
    """A string."""
    return isinstance(value, str)


def flag(value: Any) -> bool:
    """true or false."""
    return isinstance(value, bool)


def number_or_null(value: Any) -> bool:
    """The one number that the page tests for null."""
    return value is None or number(value)


def text_or_null(value: Any) -> bool:
    """A string, or nothing to say."""
    return value is None or text(value)


SLAVE: Mapping[str, Check] = {
    "name": text,
    "ip": text,
    "port": whole,
    "online": flag,
    "error": text_or_null,
    "last_seen": number_or_null,
}
SYSTEM: Mapping[str, Check] = {
    "hostname": text,
    "os": text,
    "cpu_model": text,
    "cpu_cores": whole,
    "cpu_usage": number,
    "cpu_temperature.package": number_or_null,
    **{f"memory.{name}": number for name in ("total", "used", "available", "percent")},
    **{f"swap.{name}": number for name in ("total", "used", "free", "percent")},
}
GPU: Mapping[str, Check] = {
    "id": whole,
    "name": text,
    **{f"memory.{name}": number for name in ("total", "used", "free")},
    "utilization": whole,
    "temperature": whole,
    "power.current": number,
    "power.max": number,
}
PROCESS: Mapping[str, Check] = {
    "pid": whole,
    "name": text,
    "username": text,
    "start_time": text,
    "elapsed_time": text,
    "memory_mb": number,
    "cmdline": text,
}
NOT_ESCAPED = ("ip", "data.system.hostname", "data.system.os", "data.system.cpu_model")
"""What the page puts into its HTML as it came."""


def read(slave: Mapping[str, Any]) -> list[str]:
    """Read a slave as the page does; every path that was read. AssertionError at the first of a wrong type."""
    paths = _read(slave, SLAVE, "")
    if not slave["online"]:
        assert slave["data"] is None
        assert slave["error"]
        return paths
    data = slave["data"]
    assert number(data["timestamp"])
    paths += _read(data["system"], SYSTEM, "data.system.")
    for gpu in data["gpus"]:
        paths += _read(gpu, GPU, "data.gpus[].")
        for process in gpu["processes"]:
            paths += _read(process, PROCESS, "data.gpus[].processes[].")
    return paths


def at(value: Any, path: str) -> Any:
    """What stands at a path."""
    for name in path.split("."):
        value = value[name]
    return value


def _read(value: Any, checks: Mapping[str, Check], under: str) -> list[str]:
    for path, check in checks.items():
        found = at(value, path)
        assert check(found), f"{under}{path} is {found!r}"
    return [f"{under}{path}" for path in checks]
