"""One client's request through the fleet: an engine is chosen, asked, and its answer passed on or translated.

Async. Where client and engine speak one dialect, bytes pass unread but for their end.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import lru_cache

from yarl import URL

from dpl_site.lib import http, trace
from dpl_site.lib.calls import Caller, headers_of
from dpl_site.lib.http1 import Answer, CallFailed, Disconnected, Silent
from dpl_site.lib.refusals import Refused
from inference.dialects.base import Reply
from inference.dialects.ollama_words import wanted_context
from inference.errors import (
    ConnectionLost,
    EngineFailure,
    EngineTimeout,
    InferenceError,
    InvalidReply,
    NodeFault,
    ReplyTooLarge,
    StreamCut,
    Unreachable,
)
from inference.exchange import Client, Exchange, Limits, Route
from inference.homes import Homes
from inference.llm_url import LlmUrlError
from inference.nowhere import nowhere
from inference.pool import NotRegistered, QueueFull, SlotPool, WaitedTooLong
from inference.records import Note
from inference.roster import Roster, RosterReader
from inference.scheduling import Decision, Request, choose, rank
from inference.services import context_note
from inference.sightings import Sightings
from inference.slots import Held
from inference.streams import TextExchange
from inference.surfaces.base import Asked, Surface, VectorSurface
from inference.upstream import STALE_WITHIN_S, headers_for, url_of
from inference.vectors import VectorExchange

ATTEMPTS = 3


class Proxy:
    """Answers requests through any engine that may.

    Guarantee: whatever ends a request, its slot and its connection are released through the request's exit
    stack; before the first part of an answer another engine is tried, after it the client is told. It writes
    Slot rows through the pool, and breakers and speeds through the sightings. On kill -9 connections close with
    the process and slots with its instance.
    """

    def __init__(
        self,
        *,
        roster: RosterReader,
        pool: SlotPool,
        caller: Caller,
        sightings: Sightings,
        limits: Limits,
        policy: str,
    ) -> None:
        self._homes = Homes()
        self._roster, self._pool, self._caller = roster, pool, caller
        self._sightings, self._limits, self._policy = sightings, limits, policy

    async def answer(
        self,
        surface: Surface | VectorSurface,
        asked: Asked,
        client: Client,
        stack: AsyncExitStack,
        request_id: str,
    ) -> None:
        """Answer one request. Raises Refused, or the InferenceError of the last engine that was tried."""
        avoid: set[int] = set()
        last: InferenceError | None = None
        while True:
            attempt = _Attempt(self._pool)
            stack.push(attempt)
            wanted = Request(
                model=asked.model,
                embeds=surface.embeds,
                nodes=asked.nodes,
                avoid=frozenset(avoid),
                prefix=asked.prefix,
                home=self._homes.of(asked.prefix),
            )
            try:
                route = await self._route(wanted, attempt, client.note)
            except Refused:
                # What an engine said is worth more than that there is no other.
                if last is not None:
                    raise last from None
                raise
            try:
                await self._through(route, surface, asked, client, attempt, request_id)
                return
            except InferenceError as error:
                client.note.failed(error)
                self._sightings.failed(route.target.engine_id, error)
                avoid.add(route.target.engine_id)
                last = error
                if client.has_content or not _is_for_another(error) or len(avoid) >= ATTEMPTS:
                    raise
            finally:
                attempt.close()

    # --- Where to -----------------------------------------------------------------------------------------

    async def _route(self, wanted: Request, attempt: _Attempt, note: Note) -> Route:
        """An engine and a slot of it, released with `attempt`."""
        roster = await self._roster.now()
        decision = self._choose(wanted, roster)
        if not decision.candidates:
            roster = await self._roster.anew()
            decision = self._choose(wanted, roster)
        note.decided(decision, roster.snapshots)
        if not decision.candidates:
            raise nowhere(wanted, list(roster.snapshots.values()), decision)
        held = await self._slot([one.engine_id for one in decision.candidates])
        attempt.held = held
        candidate = next(one for one in decision.candidates if one.engine_id == held.engine_id)
        node_name = roster.snapshots[held.engine_id].node_name
        note.chosen(candidate, node_name)
        was_on_trial = held.engine_id in roster.on_trial
        return Route(roster.targets[held.engine_id], held, candidate, node_name, was_on_trial)

    def _choose(self, wanted: Request, roster: Roster) -> Decision:
        if not self._sightings.any_rests():
            sifted = roster.sifted(wanted, self._pool.busy)
            return rank(wanted, sifted, time.time(), self._policy)
        snapshots = [
            replace(one, is_breaker_open=True) if self._sightings.rests(one.engine_id) else one
            for one in roster.seen_with(self._pool.busy)
        ]
        return choose(wanted, snapshots, time.time(), self._policy)

    async def _slot(self, engine_ids: Sequence[int]) -> Held:
        try:
            return await self._pool.take(engine_ids, patience_s=self._limits.wait_s)
        except QueueFull:
            message = "Too many requests wait already. Try again in a moment."
            raise Refused(message, code="queue_full", status=429) from None
        except WaitedTooLong:
            message = f"No engine became free within {self._limits.wait_s:g} s. Try again later."
            raise Refused(message, code="waited_too_long", status=503) from None
        except NotRegistered:
            message = "This server has just started, or has lost its database. Try again in a moment."
            raise Refused(message, code="not_ready", status=503) from None

    # --- Through ------------------------------------------------------------------------------------------

    async def _through(
        self,
        route: Route,
        surface: Surface | VectorSurface,
        asked: Asked,
        client: Client,
        attempt: _Attempt,
        request_id: str,
    ) -> None:
        exchange = _exchange(route, surface, asked, client, self._limits)
        self._note_context(route, asked)
        try:
            response = await self._open(exchange, attempt, request_id)
            await exchange.pass_on(response, request_id)
        except Silent as error:
            message = f"The engine said nothing for {self._limits.silence_s:g} s."
            raise EngineTimeout(message) from error
        except http.TooLarge as error:
            raise ReplyTooLarge(
                f"The answer passed its limit: it is larger than {error.max_bytes} bytes."
            ) from error
        except CallFailed as error:
            raise ConnectionLost("The connection broke in the middle of the engine's answer.") from error
        finally:
            reply = exchange.report()
            client.note.used(reply)
        self._succeeded(route, reply)
        self._homes.note(asked.prefix, route.target.engine_id)

    async def _open(self, exchange: Exchange, attempt: _Attempt, request_id: str) -> Answer:
        """Send the call; its answer's head. Its connection is closed with `attempt` unless it is read to its end."""
        target, call = exchange.route.target, exchange.call
        try:
            url = url_of(target.base_url, call.path)
        except LlmUrlError as error:
            raise Unreachable(error.message) from error
        own = headers_of({**trace.passed_on(), "X-Request-ID": request_id})
        headers = _known_headers(target.api_key) + own
        try:
            return await exchange.meanwhile(self._posted(url, headers, call.body, attempt))
        except Silent:
            raise
        except CallFailed as error:
            raise Unreachable(f"{error.message[:1].upper()}{error.message[1:]}.") from error

    async def _posted(self, url: URL, headers: bytes, body: bytes, attempt: _Attempt) -> Answer:
        """The answer's head. A kept connection that breaks at once was closed by the engine meanwhile, as llama.cpp
        does after a hundred requests: the call is sent once more, over a new one.
        """
        began = time.monotonic()
        try:
            answer = await self._caller.post(url, headers, body)
        except Disconnected as error:
            if not error.was_kept or time.monotonic() - began > STALE_WITHIN_S:
                raise
            answer = await self._caller.post(url, headers, body, is_fresh=True)
        # A client may leave at the moment of its answer: from here on the connection's end is seen to.
        attempt.answer = answer
        return answer

    def _note_context(self, route: Route, asked: Asked) -> None:
        context = wanted_context(asked.body) if route.target.kind == "ollama" else 0
        if context > route.candidate.context > 0:
            given = {"engine_id": route.target.engine_id, "model": route.candidate.model}
            self._sightings.chore(context_note, **given, context=context)

    def _succeeded(self, route: Route, reply: Reply) -> None:
        self._sightings.succeeded(
            route.target.engine_id, route.candidate.model, reply, was_trial=route.was_on_trial
        )


class _Attempt:
    """What one try holds: a slot, and from the head of an answer on its connection."""

    __slots__ = ("_pool", "answer", "held")

    def __init__(self, pool: SlotPool) -> None:
        self._pool = pool
        self.held: Held | None = None
        self.answer: Answer | None = None

    def __enter__(self) -> _Attempt:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the connection, then of the slot; a second time changes nothing."""
        held, answer = self.held, self.answer
        self.held = self.answer = None
        try:
            if answer is not None:
                answer.close()
        finally:
            if held is not None:
                self._pool.give(held)


@lru_cache(maxsize=1024)
def _known_headers(api_key: str) -> bytes:
    """The lines that are the same for every call to an engine. Raises EngineRejectsUs."""
    return headers_of(headers_for(api_key))


def _is_for_another(error: InferenceError) -> bool:
    """Whether another engine may do better with this request."""
    return isinstance(error, NodeFault | StreamCut | EngineFailure | InvalidReply)


def _exchange(
    route: Route, surface: Surface | VectorSurface, asked: Asked, client: Client, limits: Limits
) -> Exchange:
    """The exchange that this surface needs. Raises RequestRefused for what the engine's dialect cannot say."""
    if surface.embeds:
        return VectorExchange(route, surface, asked, client, limits)
    return TextExchange(route, surface, asked, client, limits)
