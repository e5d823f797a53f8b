"""The simulator as a whole: a listening engine that is started and stopped. Used by the command and by tests."""

from __future__ import annotations

import asyncio

from agent.simulator import faults
from agent.simulator.connection import Connection, Exchange, whole
from agent.simulator.control import control
from agent.simulator.engine import Engine
from agent.simulator.faults import UnknownFaultError, known
from agent.simulator.ollama import Ollama
from agent.simulator.openai import OpenAI
from agent.simulator.options import Options

BACKLOG = 2048
# A fault that somebody asks for by header, on a path that makes no tokens, can only be one of these.
_ANYWHERE = {faults.REFUSE, faults.HANG, faults.BROKEN, faults.BUSY}
_GENERATING = ("/api/chat", "/api/generate", "/api/embed", "/v1/chat/", "/v1/completions", "/v1/embeddings")


class Simulator:
    """One simulated engine behind one port. For one event loop."""

    def __init__(self, options: Options) -> None:
        self.engine = Engine(options)
        self._dialect = Ollama(self.engine) if options.dialect == "ollama" else OpenAI(self.engine)
        self._connections: set[Connection] = set()
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        if self._server is None:
            raise RuntimeError("the simulator is not started")
        host, port = self._server.sockets[0].getsockname()[:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    async def start(self) -> None:
        """Listen. OSError where the address is taken."""
        options = self.engine.options
        self._server = await asyncio.get_running_loop().create_server(
            lambda: Connection(self._answer, self._connections), options.host, options.port, backlog=BACKLOG
        )

    async def stop(self) -> None:
        """Listen no more and cut every connection, as a server that is told to end does."""
        if self._server is not None:
            self._server.close()
        for connection in list(self._connections):
            connection.transport.abort()
        # Cut connections cancel what they were waiting for when the loop comes round.
        await asyncio.sleep(0)

    async def _answer(self, exchange: Exchange) -> None:
        head = exchange.head
        if head.path.startswith("/sim/"):
            control(self.engine, exchange)
            return
        if self.engine.faults.is_down:
            self.engine.faults.counts[faults.REFUSE] += 1
            exchange.reset()
            return
        wish = head.headers.get(faults.HEADER)
        if wish is not None and await self._misbehaved(exchange, wish):
            return
        await self._dialect.answer(exchange)

    async def _misbehaved(self, exchange: Exchange, wish: str) -> bool:
        """Carry out a fault on a path that makes no tokens; the others see to theirs themselves."""
        try:
            kind = known(wish)
        except UnknownFaultError as error:
            exchange.write(whole(400, str(error).encode(), "text/plain; charset=utf-8"))
            return True
        if exchange.head.path.startswith(_GENERATING) or kind not in _ANYWHERE:
            return False
        self.engine.faults.counts[kind] += 1
        if kind == faults.REFUSE:
            exchange.reset()
        elif kind == faults.HANG:
            await asyncio.get_running_loop().create_future()
        else:
            status = int(kind)
            exchange.write(whole(status, b'{"error":"a fault was asked for"}', "application/json"))
        return True
