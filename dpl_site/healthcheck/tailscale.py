"""Whether this machine is on its tailnet, by what Tailscale's own command says. Async; absent is said, not failed."""

from __future__ import annotations

import asyncio
import json
import shutil
from datetime import UTC, datetime, timedelta
from typing import Any

from dpl_site.healthcheck.results import Result, failed, ok, skipped, warning
from dpl_site.lib.clock import utc_now

CHECK = "tailscale"
WITHIN_S = 5.0
MAX_BYTES = 16 * 1024 * 1024
EXPIRES_SOON = timedelta(days=7)
_WHAT_TO_DO = {
    "NeedsLogin": "this machine is not logged in; run: tailscale up",
    "NeedsMachineAuth": "this machine waits for an admin's approval in Tailscale's console",
    "Stopped": "it is switched off; run: tailscale up",
    "Starting": "it is starting",
    "NoState": "its service has just begun",
}


async def check_tailscale(*, is_needed: bool, command: str = "tailscale") -> Result:
    """Ask the command. `is_needed`: nodes have addresses of the tailnet, so that it must work."""
    program = shutil.which(command)
    if program is None:
        return (failed if is_needed else skipped)(CHECK, _absent(is_needed))
    try:
        async with asyncio.timeout(WITHIN_S):
            status, output, complaint = await _run(program)
    except (TimeoutError, OSError) as error:
        return _bad(is_needed, f"its command did not answer: {error or type(error).__name__}")
    if status != 0 and not output.strip():
        return _bad(is_needed, complaint or f"its command ended with {status}")
    return judge(output, is_needed=is_needed, now=utc_now())


def judge(output: str, *, is_needed: bool, now: datetime) -> Result:
    """What `tailscale status --json` says."""
    try:
        told = json.loads(output)
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, dict):
        return _bad(is_needed, "its command does not answer in JSON")
    state = str(told.get("BackendState") or "unknown")
    if state != "Running":
        return _bad(is_needed, _WHAT_TO_DO.get(state, f"its state is {state[:40]}"))
    own, peers = _object(told.get("Self")), _object(told.get("Peer"))
    if own.get("Online") is False:
        return _bad(is_needed, "this machine is logged in and not connected to the tailnet")
    ends = _moment(own.get("KeyExpiry"))
    if ends is not None and ends - now < EXPIRES_SOON:
        return warning(CHECK, f"this machine's key ends on {ends:%Y-%m-%d}; renew it, or switch its end off")
    health = told.get("Health")
    if isinstance(health, list) and health:
        return warning(CHECK, "it says: " + " ".join(str(health[0]).split())[:200])
    online = sum(1 for peer in peers.values() if _object(peer).get("Online"))
    addresses = told.get("TailscaleIPs") or own.get("TailscaleIPs")
    first = str(addresses[0]) if isinstance(addresses, list) and addresses else "no address"
    return ok(CHECK, f"{first}, {online} of {len(peers)} peers online")


async def _run(program: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        program,
        "status",
        "--json",
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=MAX_BYTES,
    )
    try:
        output, complaint = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    said = " ".join(complaint.decode("utf-8", "replace").split())[:200]
    return process.returncode or 0, output[:MAX_BYTES].decode("utf-8", "replace"), said


def _bad(is_needed: bool, message: str) -> Result:
    """Without nodes on the tailnet it is nothing that the service needs."""
    return (failed if is_needed else warning)(CHECK, message)


def _absent(is_needed: bool) -> str:
    return "not installed here" + (", but nodes have addresses of a tailnet" if is_needed else "")


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _moment(value: Any) -> datetime | None:
    try:
        found = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return found if found is None or found.tzinfo else found.replace(tzinfo=UTC)
