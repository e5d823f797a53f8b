"""An installation whose gateway is under proof: engines added by name, and a web process that tells what it holds."""

from __future__ import annotations

import sys
import urllib.request
from typing import Any

import orjson
import psutil

from tests.chaos.callers import Door
from tests.chaos.installation import Installation
from tests.engines.simulated import ROOT, SimulatedEngine, free_port

HELD_SQL = "SELECT count(*) FROM inference_slot WHERE holder_id IS NOT NULL"
WAITING_SQL = "SELECT count(*) FROM inference_slotwaiter"


class Served:
    """One installation with a second web process, a watched one, through which the tests go."""

    def __init__(self, **settings: Any) -> None:
        self.installation = Installation(**settings)
        self.port = free_port()
        self.engines: list[SimulatedEngine] = []
        self.web: psutil.Popen | None = None

    def start(self) -> Served:
        """Start the installation, then the watched web process."""
        self.installation.start()
        self.web = self.another_web(self.port)
        return self

    def another_web(self, port: int) -> psutil.Popen:
        """One more web process of the same installation, at this port."""
        command = [sys.executable, "-m", "tests.chaos.watched_web", str(port)]
        with self.installation.log.open("ab") as log:
            made = psutil.Popen(command, cwd=ROOT, env=self.installation.env, stdout=log, stderr=log)
        self.installation.extra.append(made)
        self.installation._started.append(made)
        self.installation.wait_for(lambda: self.held(port), 30, "the watched web process")
        return made

    def stop(self) -> None:
        """End everything."""
        for engine in self.engines:
            engine.kill()
        self.installation.stop()

    def engine(
        self, name: str, *, slots: int = 1, model: str = "", serves: int = 0, **flags: Any
    ) -> SimulatedEngine:
        """A simulated engine on a node of this name. Its model has the same name unless it is given.

        `serves` is how many it takes at once when that is more than the slots that DPL is told of.
        """
        made = SimulatedEngine(model=model or name, slots=serves or slots, **flags).start()
        self.engines.append(made)
        self.installation.manage("node", "add", name, "--llm", made.url, "--slots", str(slots))
        return made

    def door(self, port: int = 0) -> Door:
        """The gateway of the watched process, or of the one at another port."""
        return Door(port or self.port, self.installation.key)

    def held(self, port: int = 0) -> dict[str, Any]:
        """What the watched process holds: tasks, threads, files, peers, memory."""
        with urllib.request.urlopen(f"http://127.0.0.1:{port or self.port}/watched", timeout=10) as answer:
            found: dict[str, Any] = orjson.loads(answer.read())
        return found

    def slots_held(self) -> int:
        """Slot rows with a holder."""
        return int(self.installation.rows(HELD_SQL)[0][0])

    def said_waiting(self) -> int:
        """Rows that say that somebody waits for a slot."""
        return int(self.installation.rows(WAITING_SQL)[0][0])
