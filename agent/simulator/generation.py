"""One request that generates, from its arrival to the end of its answer: fault, place, load, tokens, end.

The dialects say how each part is written; what happens, when, and what goes wrong is decided here only.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from agent.simulator import faults
from agent.simulator.abilities import ToolCall
from agent.simulator.connection import BUFFER, LAST_CHUNK, Exchange, chunk
from agent.simulator.engine import SHORTEST_STEP_S, WHOLE_STEP_S, Engine, Pace, Refusal
from agent.simulator.residency import Model
from agent.simulator.slots import QueueFullError
from agent.wire import HEAD_END

QUEUE_FULL = "server busy, please try again.  maximum pending requests exceeded"
RUNNER_DIED = "an error was encountered while running the model: unexpected EOF"


@dataclass(frozen=True)
class Ask:
    """What a request wants, whatever dialect it came in. `keep_alive_s` None leaves the model's stay as it is."""

    model: Model
    prompt: str
    prompt_tokens: int
    pieces: Sequence[str]
    finish_reason: str
    is_stream: bool
    keep_alive_s: float | None = None
    thoughts: Sequence[str] = ()
    calls: Sequence[ToolCall] = ()

    @property
    def completion_tokens(self) -> int:
        """How many tokens the answer has; a call of a tool counts as one."""
        return len(self.thoughts) + len(self.pieces) + len(self.calls)


@dataclass
class Timing:
    """When the parts of a request happened, in seconds of a monotonic clock."""

    arrived: float
    loading: float = 0.0
    loaded: float = 0.0
    first_token: float = 0.0
    ended: float = 0.0


class Voice(Protocol):
    """How one kind of answer is written. Heads and whole answers are bytes on the wire; records are not chunked."""

    def opening(self) -> bytes:
        """The head of a stream and what stands before its first token."""

    def thought(self, text: str) -> bytes:
        """One record of a stream with a part of what the model thinks."""

    def token(self, text: str) -> bytes:
        """One record of a stream."""

    def closing(self, ask: Ask, timing: Timing) -> bytes:
        """The last records of a stream that ends well."""

    def silence(self) -> bytes:
        """What a stream says last when its end is missing; often nothing."""

    def whole(self, ask: Ask, timing: Timing) -> bytes:
        """The answer in one piece."""

    def unfinished(self, ask: Ask) -> bytes:
        """The answer in one piece, without the parts that tell of its end."""


Work = Callable[[Timing, str | None], Awaitable[bool]]


async def generate(engine: Engine, exchange: Exchange, ask: Ask, voice: Voice) -> None:
    """Answer a request with made-up tokens. Raises Refusal for one that gets an error for an answer."""

    async def work(timing: Timing, fault: str | None) -> bool:
        answer = _stream if ask.is_stream else _whole
        return await answer(engine, exchange, ask, voice, timing, fault)

    await occupy(engine, exchange, ask.model, ask.prompt, work, keep_alive_s=ask.keep_alive_s)
    engine.counts.tokens += ask.completion_tokens


async def occupy(
    engine: Engine,
    exchange: Exchange,
    model: Model,
    prompt: str,
    work: Work,
    *,
    keep_alive_s: float | None = None,
) -> None:
    """Do a request's work in a place of the engine, with its fault, and count what becomes of it.

    `work` writes the answer and returns whether it is complete. A client that leaves frees the place at once.
    """
    counts = engine.counts
    counts.started += 1
    timing = Timing(arrived=time.monotonic())
    try:
        fault = _early_fault(engine, exchange, prompt)
        is_complete = exchange.is_open and await _in_place(
            engine, timing, model, fault, work, keep_alive_s=keep_alive_s
        )
    except asyncio.CancelledError:
        counts.cancelled += 1
        raise
    except Exception:
        counts.failed += 1
        raise
    if is_complete:
        counts.finished += 1
    else:
        counts.failed += 1


def _early_fault(engine: Engine, exchange: Exchange, prompt: str) -> str | None:
    """The fault that this request gets; those that need no place happen here."""
    fault = engine.faults.choose(exchange.head.headers.get(faults.HEADER), prompt)
    if fault == faults.REFUSE:
        exchange.reset()
    if fault == faults.BROKEN:
        raise Refusal(500, RUNNER_DIED)
    if fault == faults.BUSY:
        raise Refusal(503, QUEUE_FULL)
    return fault


async def _in_place(
    engine: Engine,
    timing: Timing,
    model: Model,
    fault: str | None,
    work: Work,
    *,
    keep_alive_s: float | None,
) -> bool:
    place = await _take_place(engine)
    try:
        if fault == faults.HANG:
            await asyncio.get_running_loop().create_future()
        timing.loading = time.monotonic()
        wait = engine.residency.enter(model)
        try:
            if wait:
                await asyncio.sleep(wait)
            await _first_token(engine, timing, fault)
            return await work(timing, fault)
        finally:
            engine.residency.leave(model, keep_alive_s)
    finally:
        engine.slots.give(place)


async def _take_place(engine: Engine) -> int:
    place = engine.slots.take()
    if place is not None:
        return place
    try:
        return await engine.slots.wait()
    except QueueFullError:
        raise Refusal(503, QUEUE_FULL) from None


async def _first_token(engine: Engine, timing: Timing, fault: str | None) -> None:
    options = engine.options
    timing.loaded = time.monotonic()
    wait = options.latency_s + options.first_token_s
    if fault == faults.SLOW_START:
        wait += options.slow_first_token_s
    if wait:
        await asyncio.sleep(wait)
    timing.first_token = time.monotonic()


async def _stream(
    engine: Engine, exchange: Exchange, ask: Ask, voice: Voice, timing: Timing, fault: str | None
) -> bool:
    pieces = ask.pieces
    last = max(1, len(pieces) // 2) if fault == faults.CUT else len(pieces)
    pace = Pace(engine, len(pieces), shortest_step_s=SHORTEST_STEP_S)
    sent, pending = 0, voice.opening()
    pending += b"".join(chunk(voice.thought(text)) for text in ask.thoughts)
    if fault == faults.SILENT:
        exchange.write(pending[: pending.index(HEAD_END) + len(HEAD_END)])
        await asyncio.get_running_loop().create_future()
    while True:
        while sent < min(pace.due, last):
            pending += chunk(voice.token(pieces[sent]))
            sent += 1
            if len(pending) > BUFFER:
                exchange.write(pending)
                pending = b""
                await exchange.drain()
        if pace.is_over or sent >= last != len(pieces):
            break
        if pending:
            exchange.write(pending)
            pending = b""
            await exchange.drain()
        await pace.step()
    timing.ended = time.monotonic()
    return _end_stream(exchange, voice, ask, timing, pending, fault)


def _end_stream(
    exchange: Exchange, voice: Voice, ask: Ask, timing: Timing, pending: bytes, fault: str | None
) -> bool:
    if fault == faults.CUT:
        exchange.write(pending)
        exchange.close()
        return False
    last = voice.silence() if fault == faults.NO_TERMINATOR else voice.closing(ask, timing)
    exchange.write(pending + (chunk(last) if last else b"") + LAST_CHUNK)
    return fault != faults.NO_TERMINATOR


async def _whole(
    engine: Engine, exchange: Exchange, ask: Ask, voice: Voice, timing: Timing, fault: str | None
) -> bool:
    pace = Pace(engine, len(ask.pieces), shortest_step_s=WHOLE_STEP_S)
    while not pace.is_over and not (fault == faults.CUT and 2 * pace.due > len(ask.pieces)):
        await pace.step()
    timing.ended = time.monotonic()
    if fault == faults.NO_TERMINATOR:
        exchange.write(voice.unfinished(ask))
        return False
    answer = voice.whole(ask, timing)
    if fault == faults.CUT:
        exchange.write(answer[: -max(1, len(answer) // 4)])
        exchange.close()
        return False
    exchange.write(answer)
    return True
