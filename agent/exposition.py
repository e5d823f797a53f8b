"""GET /metrics: the reading in Prometheus' text format, under the names that DPL uses for its figures. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from agent.payloads import GpuPayload, StatusPayload

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
PREFIX = "dpl_agent_"
_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


@dataclass(frozen=True)
class _Sample:
    """One line: a metric's name, what it means, its value and labels."""

    name: str
    help: str
    value: float | int | None
    labels: Mapping[str, str]


def exposition(status: StatusPayload) -> str:
    """The reading as text; what is unknown is left out, never 0."""
    families: dict[str, list[_Sample]] = {}
    for sample in _samples(status):
        if sample.value is not None:
            families.setdefault(sample.name, []).append(sample)
    lines = [line for name, samples in families.items() for line in _family(name, samples)]
    return "\n".join(lines) + "\n"


def _family(name: str, samples: list[_Sample]) -> Iterator[str]:
    yield f"# HELP {PREFIX}{name} {samples[0].help}"
    yield f"# TYPE {PREFIX}{name} gauge"
    for sample in samples:
        labels = ",".join(f'{label}="{text.translate(_ESCAPES)}"' for label, text in sample.labels.items())
        yield f"{PREFIX}{name}{{{labels}}} {sample.value}" if labels else f"{PREFIX}{name} {sample.value}"


def _samples(status: StatusPayload) -> Iterator[_Sample]:
    about = {
        "version": status["agent_version"],
        "hostname": status["hostname"],
        "os": status["os"],
        "cpu": status["cpu"]["model"] or "",
    }
    yield _Sample("info", "The agent and its machine; always 1", 1, about)
    yield _Sample("uptime_seconds", "Since the machine's boot", status["uptime_s"], {})
    yield _Sample("locked", "1 while somebody holds the machine", int(status["locked"]), {})
    yield from _machine(status)
    for filesystem in status["filesystems"]:
        mount = {"mount": filesystem["mount"]}
        yield _Sample("filesystem_used_bytes", "Used", filesystem["used_bytes"], mount)
        yield _Sample("filesystem_total_bytes", "Size", filesystem["total_bytes"], mount)
        yield _Sample("filesystem_percent", "Used, of 100", filesystem["percent"], mount)
    error = status["gpu_error"] is not None
    yield _Sample("gpu_error", "1 while GPUs cannot be read; /status says why", int(error), {})
    for gpu in status["gpus"]:
        yield from _gpu(gpu)


def _machine(status: StatusPayload) -> Iterator[_Sample]:
    cpu, memory, swap = status["cpu"], status["memory"], status["swap"]
    yield _Sample("cpu_percent", "Busy, all cores together, of 100", cpu["percent"], {})
    for core, percent in enumerate(cpu["per_core"]):
        yield _Sample("cpu_core_percent", "Busy, of 100", percent, {"core": str(core)})
    yield _Sample("cpu_temperature_c", "Hottest sensor, degrees Celsius", cpu["temperature_c"], {})
    yield _Sample("load1", "Load average of one minute", cpu["load1"], {})
    yield _Sample("memory_used_bytes", "Used", memory["used_bytes"], {})
    yield _Sample("memory_total_bytes", "Size", memory["total_bytes"], {})
    yield _Sample("memory_percent", "Used, of 100", memory["percent"], {})
    yield _Sample("swap_used_bytes", "Used", swap["used_bytes"], {})
    yield _Sample("swap_total_bytes", "Size", swap["total_bytes"], {})
    yield _Sample("swap_percent", "Used, of 100", swap["percent"], {})
    yield _Sample("net_rx_mbps", "Received, 10^6 bits per second", status["network"]["rx_mbps"], {})
    yield _Sample("net_tx_mbps", "Sent, 10^6 bits per second", status["network"]["tx_mbps"], {})
    yield _Sample("disk_read_mb_s", "Read, 10^6 bytes per second", status["disk"]["read_mb_s"], {})
    yield _Sample("disk_write_mb_s", "Written, 10^6 bytes per second", status["disk"]["write_mb_s"], {})


def _gpu(gpu: GpuPayload) -> Iterator[_Sample]:
    of = {"gpu": str(gpu["index"])}
    about = {"vendor": gpu["vendor"], "name": gpu["name"] or "", "uuid": gpu["uuid"] or ""}
    used, total = gpu["memory_used_bytes"], gpu["memory_total_bytes"]
    yield _Sample("gpu_info", "The GPU; always 1", 1, of | about)
    yield _Sample("gpu_utilization_percent", "Busy, of 100", gpu["utilization_percent"], of)
    yield _Sample("gpu_memory_used_bytes", "Used", used, of)
    yield _Sample("gpu_memory_total_bytes", "Size", total, of)
    percent = min(100.0, 100 * used / total) if total and used is not None else None
    yield _Sample("gpu_memory_percent", "Used, of 100", percent, of)
    yield _Sample("gpu_temperature_c", "Degrees Celsius", gpu["temperature_c"], of)
    yield _Sample("gpu_power_w", "Watts", gpu["power_w"], of)
    yield _Sample("gpu_power_limit_w", "Watts", gpu["power_limit_w"], of)
    yield _Sample("gpu_clock_mhz", "Clock of the cores", gpu["clock_mhz"], of)
    yield _Sample("gpu_memory_clock_mhz", "Clock of the memory", gpu["memory_clock_mhz"], of)
    for reason in gpu["throttle_reasons"] or ():
        yield _Sample("gpu_throttled", "1 for each reason that holds it back", 1, of | {"reason": reason})
    ecc = gpu["ecc_errors"]
    if ecc is not None:
        for kind, errors in (("corrected", ecc["corrected"]), ("uncorrected", ecc["uncorrected"])):
            yield _Sample("gpu_ecc_errors", "Since the driver was loaded", errors, of | {"kind": kind})
    yield _Sample("gpu_xid", "The last XID error since the agent began", gpu["xid"], of)
    for process in gpu["processes"]:
        who = {
            "pid": str(process["pid"]),
            "name": process["name"] or "",
            "user": process["user"] or "",
            "container": process["container"] or "",
        }
        yield _Sample("gpu_process_memory_bytes", "Held by a process", process["memory_bytes"], of | who)
