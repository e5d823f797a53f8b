"""A scripted agent that speaks the wire to the site, and a tick of the controller beside it."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any
from unittest import mock
from urllib.parse import urlsplit

from django.test import Client

from dpl_site.lib.clock import iso, utc_now
from dpl_site.processes.duties import _record
from inference import probe
from inference.probe import FleetProbe, FleetReading
from inference.targets import Targets, fleet_targets
from nodes.joining import token_create
from tests.machines import dead_url
from tests.nodes.told import STATUS

MACHINE = "8f14e45f-ceea-467f-a8f0-1b1f4b5ad0c1"


class ScriptedAgent:
    """What an agent remembers between starts, and what it says to the site."""

    def __init__(self, *, url: str = "", machine_id: str = MACHINE, hostname: str = "box") -> None:
        """`url` is where its own server listens; nothing does unless said."""
        self.url = url or dead_url()
        self.machine_id = machine_id
        self.hostname = hostname
        self.token = ""
        self.site = Client()

    def ask_in(self, token: str = "", **changes: Any) -> Any:
        """The answer to a join, with a fresh invitation unless one is given."""
        told: dict[str, Any] = {
            "token": token or token_create(created_by="ada")[1],
            "name": None,
            "hostname": self.hostname,
            "machine_id": self.machine_id,
            "port": urlsplit(self.url).port,
            "agent_version": "0.1.0",
            "os": "Linux",
            "engines": [],
        }
        return self.site.post("/api/v1/agents/join", told | changes, content_type="application/json")

    def join(self, **changes: Any) -> dict[str, Any]:
        """What it is told when it is let in; its own token is kept."""
        answer = self.ask_in(**changes)
        assert answer.status_code == 201, answer.json()
        body: dict[str, Any] = answer.json()
        self.token = body["agent_token"]
        return body

    def push(self, *readings: Any, **changes: Any) -> Any:
        """The answer to a push of these readings, or of one of now."""
        told: dict[str, Any] = {
            "sent_at": iso(utc_now()),
            "readings": [*readings] or [reading(hostname=self.hostname)],
        }
        return self.site.post(
            "/api/v1/agents/push",
            told | changes,
            content_type="application/json",
            headers={"Authorization": f"Bearer {self.token}"},
        )


def reading(age_s: float = 0.0, **changes: Any) -> dict[str, Any]:
    """A reading as it was some seconds ago."""
    return STATUS | {"sampled_at": iso(utc_now() - timedelta(seconds=age_s))} | changes


def tick(*node_ids: int) -> FleetReading:
    """One tick of the controller, recorded; all within the test's own transaction, so its rows are read first."""
    targets = fleet_targets(node_ids=node_ids or None)

    async def known(*_: object, **__: object) -> Targets:
        return targets

    async def once() -> FleetReading:
        fleet = FleetProbe(timeout_s=30)
        try:
            return await fleet.tick(node_ids or None)
        finally:
            await fleet.close()

    with mock.patch.object(probe, "call", known):
        found = asyncio.run(once())
    _record(found)
    return found
