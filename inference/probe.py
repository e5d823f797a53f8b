"""Asks the whole fleet at once: every agent and every engine, none of them delaying another."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncGenerator, Collection
from dataclasses import dataclass
from datetime import datetime

import aiohttp
from django.conf import settings

from dpl_site.lib import http
from dpl_site.lib.addresses import AddressError
from dpl_site.lib.clock import utc_now
from dpl_site.lib.db import call
from inference.detection import EngineReading, NotAnEngine, detect, read_engine
from inference.errors import NodeFault
from inference.llm_url import LlmUrlError
from inference.targets import EngineTarget, NodeTarget, fleet_targets
from nodes.mirror import AgentSeen, AgentTarget, see_agent
from nodes.probe import TIMEOUT_S
from nodes.pushed import see_push

PROMPT_S = 0.3
"""What has answered by then is told at once, so that a dead host does not delay the news of the others."""
MOST_JITTER_S = 0.05
JITTER_PER_NODE_S = 0.0002
"""A large fleet is not asked all in one instant; a small one is, since each moment of its own costs a wake-up."""
CONNECTIONS = 512

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class EngineSeen:
    """What came of asking one engine: a reading, or why it cannot work now, in words.

    `is_detected`: the reading was made without knowing the kind, so it holds all that the engine tells.
    `is_timeout`: it may be busy rather than dead.
    """

    engine_id: int
    generation: int
    reading: EngineReading | None
    problem: str = ""
    is_detected: bool = False
    is_timeout: bool = False

    @property
    def is_online(self) -> bool:
        """Whether it answered as an engine that can work now."""
        return self.reading is not None and not self.problem


@dataclass(frozen=True, slots=True)
class MachineSeen:
    """What came of asking one node: its agent (None: it has none, or has told nothing new) and its engines.

    `pushed_id` is the row of the newest reading that its agent pushed: recording this takes it.
    """

    node_id: int
    agent: AgentSeen | None
    engines: tuple[EngineSeen, ...]
    pushed_id: int = 0


@dataclass(frozen=True, slots=True)
class FleetReading:
    """What some or all nodes answered."""

    at: datetime
    nodes: tuple[MachineSeen, ...]


class FleetProbe:
    """Asks the fleet over one session whose connections are kept alive from tick to tick.

    Guarantee: each agent and engine is asked once per tick, all at the same time and each for a second at
    most (an agent that must be told of a lock: three). Writes no rows: `services.record_fleet` does. kill -9
    leaves nothing behind but locks on agents, which end by themselves.
    """

    def __init__(self, *, interval_s: float | None = None, timeout_s: float = TIMEOUT_S) -> None:
        """`interval_s` is how often ticks come (DPL_POLL_INTERVAL_S): locks on agents outlast a few."""
        self._interval_s = interval_s or settings.DPL_POLL_INTERVAL_S
        self._timeout_s = timeout_s
        self._session: aiohttp.ClientSession | None = None

    async def tick(self, node_ids: Collection[int] | None = None) -> FleetReading:
        """Ask all live nodes (or those given) and give what came, when the last has answered or failed to."""
        nodes: list[MachineSeen] = []
        async for reading in self.answers(node_ids):
            nodes += reading.nodes
        return FleetReading(utc_now(), tuple(sorted(nodes, key=lambda node: node.node_id)))

    async def answers(
        self, node_ids: Collection[int] | None = None, *, agents_only: bool = False
    ) -> AsyncGenerator[FleetReading, None]:
        """The same in two parts: what came promptly, then the rest, if there is any."""
        targets = await call(fleet_targets, node_ids=node_ids, agents_only=agents_only)
        jitter_s = min(MOST_JITTER_S, JITTER_PER_NODE_S * len(targets.nodes))
        waiting = {
            asyncio.create_task(self._see(node, targets.installation, jitter_s), name=f"probe-{node.node_id}")
            for node in targets.nodes
        }
        try:
            for patience_s in (PROMPT_S, None):
                if waiting:
                    done, waiting = await asyncio.wait(waiting, timeout=patience_s)
                    if done:
                        yield FleetReading(utc_now(), tuple(task.result() for task in done))
        finally:
            for task in waiting:
                task.cancel()

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _see(self, node: NodeTarget, installation: str, jitter_s: float) -> MachineSeen:
        session = self._open()
        await asyncio.sleep(random.uniform(0, jitter_s))
        async with asyncio.TaskGroup() as group:
            agent = node.agent and group.create_task(self._see_agent(session, node.agent, installation))
            engines = [
                group.create_task(see_engine(session, engine, timeout_s=self._timeout_s))
                for engine in node.engines
            ]
        return MachineSeen(
            node.node_id,
            self._agent_of(node, agent.result() if agent else None, installation),
            tuple(task.result() for task in engines),
            node.push.row_id if node.push else 0,
        )

    def _agent_of(self, node: NodeTarget, asked: AgentSeen | None, installation: str) -> AgentSeen | None:
        """What its agent answered, or else what it pushed by itself; a silence in both is told of the asking."""
        if node.push is None or (asked is not None and asked.reading is not None):
            return asked
        pushed = see_push(node.push, at=utc_now(), installation=installation, interval_s=self._interval_s)
        return asked if asked is not None and pushed is not None and pushed.reading is None else pushed

    async def _see_agent(
        self, session: aiohttp.ClientSession, target: AgentTarget, installation: str
    ) -> AgentSeen:
        try:
            return await see_agent(
                session,
                target,
                installation=installation,
                interval_s=self._interval_s,
                timeout_s=self._timeout_s,
            )
        except Exception as error:
            return AgentSeen(target.base_url, utc_now(), None, _surprise("agent", target.node_id, error))

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None or self._session.closed:
            self._session = http.session(connections=CONNECTIONS)
        return self._session


async def see_engine(
    session: aiohttp.ClientSession, target: EngineTarget, *, timeout_s: float = TIMEOUT_S
) -> EngineSeen:
    """Ask one engine. Never raises for what it does.

    One that is new, or came back, is asked for all it tells; so is one that is no longer of the kind that was
    found. A kind that a person chose is never changed.
    """
    try:
        reading, is_detected = await _read(session, target, timeout_s)
    except (NodeFault, LlmUrlError, AddressError) as error:
        is_timeout = isinstance(error.__cause__, TimeoutError)
        return _problem(target, error.message, is_timeout=is_timeout)
    except Exception as error:
        return _problem(target, _surprise("engine", target.engine_id, error))
    problem = "It is loading its model." if reading.is_loading else ""
    return EngineSeen(target.engine_id, target.generation, reading, problem, is_detected)


async def _read(
    session: aiohttp.ClientSession, target: EngineTarget, timeout_s: float
) -> tuple[EngineReading, bool]:
    if target.is_new and not target.is_kind_fixed:
        return await detect(session, target.base_url, target.api_key, timeout_s=timeout_s), True
    try:
        reading = await read_engine(
            session,
            base_url=target.base_url,
            kind=target.kind,
            api_key=target.api_key,
            timeout_s=timeout_s,
        )
    except NotAnEngine:
        if target.is_kind_fixed:
            raise
        return await detect(session, target.base_url, target.api_key, timeout_s=timeout_s), True
    return reading, False


def _surprise(what: str, id: int, error: Exception) -> str:
    """What nobody foresaw about one machine must not end the tick of the others; it is logged with its trace."""
    logger.error("asking %s %s failed", what, id, exc_info=error, extra={"action": "probe_failed"})
    return f"Asking it failed: {type(error).__name__}. The log has the details."


def _problem(target: EngineTarget, message: str, *, is_timeout: bool = False) -> EngineSeen:
    return EngineSeen(target.engine_id, target.generation, None, message, is_timeout=is_timeout)
