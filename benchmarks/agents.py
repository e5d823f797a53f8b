"""Many simulated agents in one light process: each on a port of its own, each with figures that change.

`python -m benchmarks.agents --count 200 --gpus 4` prints their ports on one line and serves until it is ended.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import random
import time
from datetime import UTC, datetime
from email.utils import formatdate
from typing import Any, cast

SAMPLE_S = 2.0
GIB = 2**30


def status(number: int, gpus: int, at: float) -> dict[str, Any]:
    """What agent `number` would tell at this moment; the same moment tells the same."""
    chance = random.Random(f"{number} {int(at / SAMPLE_S)}")
    load = 50 + 40 * math.sin(at / 60 + number) + chance.uniform(-5, 5)
    return {
        "agent_version": "0.1.0",
        "hostname": f"box{number}",
        "os": "Debian GNU/Linux 12, kernel 6.1.0",
        "boot_id": f"00000000-0000-0000-0000-{number:012d}",
        "sampled_at": _iso(at - at % SAMPLE_S),
        "uptime_s": round(at % 1e6, 1),
        "locked": False,
        "lock": None,
        "model": "llama3:8b",
        "models": ["llama3:8b", "qwen3:4b"],
        "cpu": {
            "model": "AMD EPYC 7302 16-Core Processor",
            "logical_cores": 32,
            "physical_cores": 16,
            "percent": round(load, 1),
            "per_core": [round(load + chance.uniform(-10, 10), 1) for _ in range(32)],
            "load1": round(load / 10, 2),
            "temperature_c": round(40 + load / 4, 1),
        },
        "memory": _space(256 * GIB, load / 100),
        "swap": _space(8 * GIB, 0.01),
        "filesystems": [
            {"mount": mount, **_space(500 * GIB, 0.3 + number % 7 / 10)} for mount in ("/", "/home", "/data")
        ],
        "disk": {
            "read_mb_s": round(chance.uniform(0, 200), 2),
            "write_mb_s": round(chance.uniform(0, 90), 2),
        },
        "network": {"rx_mbps": round(chance.uniform(0, 900), 2), "tx_mbps": round(chance.uniform(0, 90), 2)},
        "gpus": [_gpu(number, index, load, chance) for index in range(gpus)],
        "gpu_error": None,
        "engines": [{"base_url": "http://127.0.0.1:11434", "kind": "ollama"}],
    }


class _Agent(asyncio.Protocol):
    """One connection to one agent: every request is answered with its status, made once per sample."""

    def __init__(self, number: int, gpus: int) -> None:
        self._number, self._gpus = number, gpus
        self._made_at, self._answer = -1, b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        now = time.time()
        if self._made_at != int(now / SAMPLE_S):
            self._made_at = int(now / SAMPLE_S)
            body = json.dumps(status(self._number, self._gpus, now)).encode()
            head = (
                f"HTTP/1.1 200 OK\r\nDate: {formatdate(now, usegmt=True)}\r\nContent-Type: application/json\r\n"
                f"Content-Length: {len(body)}\r\n\r\n"
            )
            self._answer = head.encode() + body
        if self._transport is not None:
            self._transport.write(self._answer)


async def serve(count: int, gpus: int) -> None:
    """Listen on `count` free ports, print them, answer for ever."""
    loop = asyncio.get_running_loop()
    servers = [
        await loop.create_server(lambda number=number: _Agent(number, gpus), "127.0.0.1", 0)  # type: ignore[misc]  # mypy cannot infer a lambda with a default
        for number in range(count)
    ]
    print(*(server.sockets[0].getsockname()[1] for server in servers), flush=True)
    await asyncio.gather(*(server.serve_forever() for server in servers))


def _gpu(number: int, index: int, load: float, chance: random.Random) -> dict[str, Any]:
    return {
        "index": index,
        "uuid": f"GPU-{number:08d}-{index}",
        "name": "NVIDIA GeForce RTX 4090",
        "vendor": "nvidia",
        "utilization_percent": round(min(100, max(0, load + chance.uniform(-20, 20)))),
        "memory_total_bytes": 24 * GIB,
        "memory_used_bytes": int(24 * GIB * load / 110),
        "temperature_c": round(35 + load / 3),
        "power_w": round(60 + 3 * load + chance.uniform(-9, 9), 1),
        "power_limit_w": 450.0,
        "clock_mhz": 2520,
        "memory_clock_mhz": 10501,
        "throttle_reasons": [],
        "ecc_errors": None,
        "xid": None,
        "health": None,
        "processes": [
            {
                "pid": 4000 + index,
                "name": "ollama",
                "user": "ollama",
                "container": None,
                "started_at": "2026-11-21T09:00:00.000Z",
                "memory_bytes": 9 * GIB,
                "command": "/usr/local/bin/ollama runner --model /var/lib/ollama/blobs/sha256-6a0746a1ec1a",
                "elapsed_s": 4711.0,
            }
        ],
    }


def _space(total: int, share: float) -> dict[str, Any]:
    return {"total_bytes": total, "used_bytes": int(total * share), "percent": round(100 * share, 1)}


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def main() -> None:
    """Parse the flags and serve."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.agents", description=__doc__)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--gpus", type=int, default=4)
    given = parser.parse_args()
    asyncio.run(serve(given.count, given.gpus))


if __name__ == "__main__":
    main()
