"""Which machine this is and since when: host name, operating system, processor, boot. Asked once."""

from __future__ import annotations

import ctypes
import platform
import socket
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from agent.clock import steady


@dataclass(frozen=True)
class Identity:
    """What does not change while the agent runs; `boot_id` is the same from boot to boot."""

    hostname: str
    os: str
    boot_id: str
    cpu_model: str | None
    logical_cores: int | None
    physical_cores: int | None = None


def read_identity() -> Identity:
    """This machine's identity."""
    return Identity(
        hostname=socket.gethostname(),
        os=_operating_system(),
        boot_id=_boot_id(),
        cpu_model=_cpu_model(),
        logical_cores=psutil.cpu_count(),
        physical_cores=psutil.cpu_count(logical=False),
    )


def uptime_s() -> float | None:
    """Seconds since boot, sleep included."""
    if sys.platform == "linux":
        return round(steady(), 1)
    else:
        try:
            return round(max(0.0, time.time() - psutil.boot_time()), 1)
        except (psutil.Error, OSError):
            return None


def _operating_system() -> str:
    if sys.platform == "linux":
        try:
            return platform.freedesktop_os_release()["PRETTY_NAME"]
        except (OSError, KeyError):
            return f"Linux {platform.release()}"
    elif sys.platform == "darwin":
        return f"macOS {platform.mac_ver()[0]}"
    else:
        return f"{platform.system()} {platform.release()} {platform.version()}".strip()


def _boot_id() -> str:
    found = (
        _read_line("/proc/sys/kernel/random/boot_id") or _sysctl("kern.bootsessionuuid") or _windows_boot_id()
    )
    # The last resort is only as steady as the clock: a correction of more than a minute would change it.
    return found or _digest(f"{socket.gethostname()} {round(psutil.boot_time() / 60)}")


def _windows_boot_id() -> str | None:
    memory = r"SYSTEM\CurrentControlSet\Control\Session Manager\Memory Management\PrefetchParameters"
    machine, count = _registry(r"SOFTWARE\Microsoft\Cryptography", "MachineGuid"), _registry(memory, "BootId")
    return _digest(f"{machine} {count}") if count is not None else None


def _cpu_model() -> str | None:
    found = _proc_cpu_model() or _read_line("/proc/device-tree/model") or _sysctl("machdep.cpu.brand_string")
    if found is None:
        found = _registry(r"HARDWARE\DESCRIPTION\System\CentralProcessor\0", "ProcessorNameString")
    return found or platform.processor() or platform.machine() or None


def _proc_cpu_model() -> str | None:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if name.strip().lower() in {"model name", "cpu model"} and value.strip():
            return value.strip()
    return None


def _read_line(path: str) -> str | None:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").strip("\0\n ") or None
    except OSError:
        return None


def _sysctl(name: str) -> str | None:
    if sys.platform != "darwin":
        return None
    else:
        libc = ctypes.CDLL(None)
        value, size = ctypes.create_string_buffer(256), ctypes.c_size_t(256)
        if libc.sysctlbyname(name.encode(), value, ctypes.byref(size), None, ctypes.c_size_t(0)) != 0:
            return None
        return value.value.decode("utf-8", "replace").strip() or None


def _registry(key: str, name: str) -> str | None:
    if sys.platform != "win32":
        return None
    else:
        import winreg

        try:
            with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, key) as handle:
                return str(winreg.QueryValueEx(handle, name)[0]).strip()
        except OSError:
            return None


def _digest(text: str) -> str:
    # Here, as it loads OpenSSL, which Linux and macOS can do without.
    import hashlib

    return hashlib.sha256(text.encode()).hexdigest()[:32]
