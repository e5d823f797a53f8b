"""What an agent tells, as the contract has it."""

from __future__ import annotations

from typing import Any

STATUS: dict[str, Any] = {
    "agent_version": "0.1.0",
    "hostname": "box",
    "os": "Linux",
    "boot_id": "1",
    "sampled_at": "2026-11-21T10:00:00.000Z",
    "uptime_s": 12.5,
    "locked": False,
    "lock": None,
    "model": "llama3:8b",
    "models": ["llama3:8b"],
    "engines": [{"base_url": "http://127.0.0.1:11434", "kind": "ollama"}],
    "cpu": {
        "model": "CPU",
        "physical_cores": 4,
        "logical_cores": 8,
        "percent": 12.5,
        "per_core": [0.0, 25.0],
        "load1": 0.5,
        "temperature_c": None,
    },
    "memory": {"total_bytes": 16, "used_bytes": 4, "percent": 25.0},
    "swap": {"total_bytes": 0, "used_bytes": 0, "percent": 0.0},
    "filesystems": [{"mount": "/", "total_bytes": 10, "used_bytes": 5, "percent": 50.0}],
    "disk": {"read_mb_s": 0.0, "write_mb_s": 1.5},
    "network": {"rx_mbps": 0.1, "tx_mbps": 0.2},
    "gpus": [
        {
            "index": 0,
            "uuid": "GPU-1",
            "name": "NVIDIA GeForce RTX 4090",
            "vendor": "nvidia",
            "utilization_percent": 55.0,
            "memory_total_bytes": 24,
            "memory_used_bytes": 12,
            "temperature_c": 61.0,
            "power_w": 300.5,
            "power_limit_w": 450.0,
            "clock_mhz": 2520.0,
            "memory_clock_mhz": 10501.0,
            "throttle_reasons": ["power_cap"],
            "ecc_errors": {"corrected": 1, "uncorrected": 0},
            "xid": 79,
            "health": "OK",
            "mig_devices": [
                {"uuid": "MIG-1", "name": "1g.10gb", "memory_total_bytes": 10, "memory_used_bytes": 1}
            ],
            "processes": [
                {
                    "pid": 7,
                    "name": "python",
                    "user": "ada",
                    "container": None,
                    "started_at": "2026-11-21T09:00:00.000Z",
                    "elapsed_s": 3600.0,
                    "memory_bytes": 12,
                    "command": "python train.py",
                }
            ],
        }
    ],
    "gpu_error": None,
}


def lock_told(**changes: Any) -> dict[str, Any]:
    """A lock as an agent tells of it."""
    told = {"id": "l1", "owner": "backup", "installation": None, "reason": "disk", "expires_at": None}
    return told | changes
