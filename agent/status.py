"""Puts the latest readings, the lock and the identity together into the answer of GET /status."""

from __future__ import annotations

import time

from agent import __version__
from agent.clock import Clock, iso
from agent.engine import current_model
from agent.identity import Identity, uptime_s
from agent.lock import Lock
from agent.payloads import LockPayload, StatusPayload
from agent.sampling import Board


def status_payload(
    *, identity: Identity, board: Board, lock: LockPayload | None, model: str | None
) -> StatusPayload:
    """All that this machine says of itself; nothing is measured here, so it is made in well under 5 ms."""
    machine, slow, engines, gpus = board.machine, board.slow, board.engines, board.gpus
    return {
        "agent_version": __version__,
        "hostname": identity.hostname,
        "os": identity.os,
        "boot_id": identity.boot_id,
        "sampled_at": machine.sampled_at,
        "uptime_s": uptime_s(),
        "locked": lock is not None,
        "lock": lock,
        "model": current_model(engines.models, engines.resident, model),
        "models": list(engines.models),
        "engines": [{"base_url": base_url, "kind": kind} for base_url, kind in engines.found],
        "cpu": {
            "model": identity.cpu_model,
            "physical_cores": identity.physical_cores,
            "logical_cores": identity.logical_cores,
            "percent": machine.cpu_percent,
            "per_core": list(machine.per_core),
            "load1": machine.load1,
            "temperature_c": slow.cpu_temperature_c,
        },
        "memory": machine.memory,
        "swap": machine.swap,
        "filesystems": list(slow.filesystems),
        "disk": machine.disk,
        "network": machine.network,
        "gpus": list(gpus.gpus),
        "gpu_error": gpus.error,
    }


def lock_payload(lock: Lock | None, clock: Clock) -> LockPayload | None:
    """The lock as shown; its end is reckoned from now, so a corrected wall clock does not falsify it."""
    if lock is None:
        return None
    return {
        "id": lock.id,
        "owner": lock.owner,
        "installation": lock.installation,
        "reason": lock.reason,
        "expires_at": iso(time.time() + lock.expires - clock()),
    }
