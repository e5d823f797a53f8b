"""The agent at work: its parts put together, started and stopped. Knows no flags."""

from __future__ import annotations

import threading

from agent.application import Application
from agent.clock import steady
from agent.engines import EngineSurvey
from agent.identity import Identity, read_identity
from agent.link import Link
from agent.lock import NodeLock
from agent.payloads import EnginePayload
from agent.push import TIMEOUT_S, Pusher
from agent.sampling import Sampler
from agent.server import AgentServer
from agent.settings import Settings


class Agent:
    """One agent: it listens from the moment it is made, measures from `start` on, and pushes where it is told to.

    OSError when it cannot listen.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stop = threading.Event()
        self._lock = NodeLock(steady)
        self.sampler = Sampler(
            settings.engine_url, settings.engine_ports, simulated_gpus=settings.simulated_gpus
        )
        self.identity: Identity = read_identity()
        self.application = Application(
            identity=self.identity,
            board=self.sampler.board,
            token=settings.token,
            model=settings.model,
            lock=self._lock,
            cors_origins=settings.cors_origins,
        )
        self.server = AgentServer(settings.host, settings.port, self.application)
        self.sampler.engines.leave_out(self.server.port)

    def start(self) -> None:
        """Measure and answer, in threads of their own."""
        self.sampler.start()
        threading.Thread(target=self.server.serve_forever, args=(0.2,), name="http", daemon=True).start()

    def find_engines(self) -> list[EnginePayload]:
        """The engines that answer on this machine now, asked by the caller's thread."""
        survey = EngineSurvey(self._settings.engine_url, self._settings.engine_ports)
        survey.leave_out(self.server.port)
        return [{"base_url": base_url, "kind": kind} for base_url, kind in survey.read().found]

    def push_to(self, server_url: str, *, token: str, pin: str | None) -> None:
        """Tell a server of each sample from now on."""
        pusher = Pusher(
            link=Link(server_url, timeout_s=TIMEOUT_S, pin=pin),
            token=token,
            lock=self._lock,
            status=self.application.status,
            set_interval=self.sampler.set_interval,
        )
        self.sampler.on_sample(pusher.collect)
        pusher.start(self._stop)

    def close(self) -> None:
        """Stop all of it; what hangs holds nobody up."""
        self._stop.set()
        self.sampler.stop()
        self.server.shutdown()
        self.server.server_close()
