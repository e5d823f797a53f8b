"""One round: everything at once, each check within its time. Async."""

from __future__ import annotations

import asyncio

from dpl_site.healthcheck.installation import look
from dpl_site.healthcheck.machines import check_machines
from dpl_site.healthcheck.results import Round
from dpl_site.healthcheck.tailscale import check_tailscale
from dpl_site.lib.clock import iso, utc_now


def check_all(*, may_load: bool = False) -> Round:
    """Check everything; `may_load` lets engines load a model that none of theirs is resident for."""
    at = iso(utc_now()) or ""
    seen = look()

    async def ask() -> Round:
        tailscale, machines = await asyncio.gather(
            check_tailscale(is_needed=seen.has_tailnet),
            check_machines(seen.agents, seen.engines, may_load=may_load),
        )
        return Round(at, [*seen.results, tailscale, *machines])

    return asyncio.run(ask())
