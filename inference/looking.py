"""Asks a machine that somebody is just entering, so that he hears at once how it is. For sync code."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import aiohttp

from dpl_site.lib import http
from inference import validation
from inference.detection import NotAnEngine, detect, read_engine
from inference.errors import NodeFault
from inference.probe import EngineSeen
from nodes.mirror import AgentSeen, AgentTarget, see_agent
from nodes.services import installation_id

ASK_S = 3.0
"""How long a person waits for a machine that does not answer."""


@dataclass(frozen=True, slots=True)
class EngineEntry:
    """An engine as it was entered: its address as it was pasted and as it is kept, key, and kind if chosen."""

    llm_url: str
    base_url: str
    api_key: str = ""
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Looked:
    """What was seen of a machine; None where there was nothing to ask. The engine's id and generation are 0."""

    agent: AgentSeen | None = None
    engine: EngineSeen | None = None


def look(
    *, engine: EngineEntry | None = None, agent: AgentTarget | None = None, field: str = "llm_url"
) -> Looked:
    """Ask both at the same time, for ASK_S seconds at most; who is silent is seen with his problem.

    Raises Refused, about `field`, when something answers as the engine that is none.
    """
    installation = str(installation_id()) if agent else ""
    try:
        return asyncio.run(_look(engine, agent, installation))
    except NotAnEngine as error:
        raise validation.refusal(field, error.message, code="not_an_engine") from error


async def _look(engine: EngineEntry | None, agent: AgentTarget | None, installation: str) -> Looked:
    async with http.session() as session:
        seen_agent, seen_engine = await asyncio.gather(
            _agent(session, agent, installation), _engine(session, engine)
        )
    return Looked(seen_agent, seen_engine)


async def _agent(
    session: aiohttp.ClientSession, target: AgentTarget | None, installation: str
) -> AgentSeen | None:
    if target is None:
        return None
    return await see_agent(session, target, installation=installation, interval_s=ASK_S, timeout_s=ASK_S)


async def _engine(session: aiohttp.ClientSession, entry: EngineEntry | None) -> EngineSeen | None:
    if entry is None:
        return None
    try:
        if entry.kind:
            reading = await read_engine(
                session,
                base_url=entry.base_url,
                kind=entry.kind,
                api_key=entry.api_key,
                timeout_s=ASK_S,
            )
        else:
            reading = await detect(session, entry.llm_url, entry.api_key, timeout_s=ASK_S)
    except NotAnEngine:
        raise
    except NodeFault as fault:
        return EngineSeen(0, 0, None, fault.message)
    return EngineSeen(0, 0, reading, "It is loading its model." if reading.is_loading else "", not entry.kind)
