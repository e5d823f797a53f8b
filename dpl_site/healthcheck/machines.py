"""Asks each agent for its status and each engine for a real generation. Async; no rows are written."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp

from dpl_site.healthcheck.results import Result, failed, ok, skipped, warning
from dpl_site.lib import http
from dpl_site.lib.addresses import AddressError
from inference.detection import read_engine
from inference.dialects.base import Generation
from inference.errors import EngineBusy, InferenceError
from inference.llm_url import LlmUrlError
from inference.upstream import Target, Timeouts, Upstream
from nodes.probe import AgentError, ask_agent

ASK_S = 3.0
GENERATE_S = 30.0
LOAD_S = 300.0
MOST_AT_ONCE = 64
MOST_SKEW_S = 5.0
QUESTION = "Answer with one word: ready?"
MOST_TOKENS = 8


@dataclass(frozen=True, slots=True)
class AgentToAsk:
    """A node's agent: its address ("": it has none that can be asked), and how old what it pushed is."""

    node: str
    url: str
    token: str
    age_s: float | None = None
    is_current: bool = False


@dataclass(frozen=True, slots=True)
class EngineToAsk:
    """An engine, and who has its node; `embedders` are the models that generate nothing, by what is known."""

    node: str
    target: Target
    is_enabled: bool = True
    locked_by: str = ""
    embedders: frozenset[str] = frozenset()

    @property
    def check(self) -> str:
        """What the check is called."""
        return f"engine {self.target.engine_id} of {self.node}"


async def check_machines(
    agents: Sequence[AgentToAsk], engines: Sequence[EngineToAsk], *, may_load: bool
) -> list[Result]:
    """All at once, each within its time, in the order in which they were given."""
    gate = asyncio.Semaphore(MOST_AT_ONCE)
    async with http.session() as session, _upstream(session) as upstream:

        async def agent(one: AgentToAsk) -> Result:
            async with gate:
                return await _agent(session, one)

        async def engine(one: EngineToAsk) -> Result:
            async with gate:
                return await _engine(session, upstream, one, may_load=may_load)

        return await asyncio.gather(*map(agent, agents), *map(engine, engines))


async def _agent(session: aiohttp.ClientSession, one: AgentToAsk) -> Result:
    check = f"agent of {one.node}"
    if not one.url:
        if one.age_s is None:
            return skipped(check, "it has none; its engines are asked")
        told = f"it pushed {one.age_s:.0f} s ago"
        return ok(check, told) if one.is_current else failed(check, f"{told}, and is silent since")
    began = time.perf_counter()
    try:
        reading = await ask_agent(session, base_url=one.url, token=one.token, timeout_s=ASK_S)
    except AgentError as error:
        return failed(check, error.message, time.perf_counter() - began)
    took_s = time.perf_counter() - began
    skew_s = reading.clock_skew_s or 0.0
    if abs(skew_s) > MOST_SKEW_S:
        return warning(check, f"its clock differs by {skew_s:+.0f} s", took_s)
    return ok(check, f"version {reading.status['agent_version']}", took_s)


async def _engine(
    session: aiohttp.ClientSession, upstream: Upstream, one: EngineToAsk, *, may_load: bool
) -> Result:
    if not one.is_enabled:
        return skipped(one.check, "it is switched off")
    target, began = one.target, time.perf_counter()
    try:
        reading = await read_engine(
            session, base_url=target.base_url, kind=target.kind, api_key=target.api_key, timeout_s=ASK_S
        )
    except (InferenceError, LlmUrlError, AddressError) as error:
        return failed(one.check, error.message, time.perf_counter() - began)
    if reading.is_loading:
        return warning(one.check, "it is loading its model", time.perf_counter() - began)
    if one.locked_by:
        return ok(one.check, f"it answers; locked by {one.locked_by}, so nothing was generated")
    able = [seen for seen in reading.models if seen.name not in one.embedders and seen.can_generate]
    resident = [seen.name for seen in able if seen.is_resident]
    if not resident and not (may_load and able):
        why = "--load lets this load one" if able else "it has none that generates"
        return warning(one.check, f"it answers and has no model in memory; {why}")
    kind = Target(
        target.engine_id,
        target.node_id,
        reading.kind,
        target.base_url,
        target.api_key,
        target.chat_path_missing,
    )
    model = resident[0] if resident else able[0].name
    return await _generate(upstream, one.check, kind, model, GENERATE_S if resident else LOAD_S)


async def _generate(upstream: Upstream, check: str, target: Target, model: str, within_s: float) -> Result:
    request = Generation(model, [{"role": "user", "content": QUESTION}], {"max_tokens": MOST_TOKENS})
    timeouts = Timeouts(connect_s=ASK_S, first_byte_s=within_s, idle_s=within_s, total_s=within_s)
    began = time.perf_counter()
    try:
        await upstream.generate(target, request, timeouts)
    except EngineBusy as busy:
        return warning(check, f"{model}: it is busy ({busy.message})", time.perf_counter() - began)
    except InferenceError as error:
        said = f" ({error.engine_message})" if error.engine_message else ""
        return failed(check, f"{model}: {error.message}{said}", time.perf_counter() - began)
    took_s = time.perf_counter() - began
    return ok(check, f"{model} answered in {took_s:.1f} s", took_s)


@asynccontextmanager
async def _upstream(session: aiohttp.ClientSession) -> AsyncIterator[Upstream]:
    upstream = Upstream(session)
    try:
        yield upstream
    finally:
        await upstream.close()
