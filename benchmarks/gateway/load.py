"""A closed-loop load client in a process of its own: so many connections, each asking again when it has its answer.

`python -m benchmarks.gateway.load JSON` takes a Load as JSON and prints a Found as JSON. It also reads the
processor time of the gateway's processes at both ends of its window, so that the two fit.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import cast

import orjson
import psutil
import uvloop

EVENT_ENDS = {"openai": b"\n\n", "ollama": b'"done":'}
LAST = b"0\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Load:
    """What is asked for. `most` ends the run after so many answers; `ramp_s` spreads the first requests."""

    port: int
    path: str
    model: str
    key: str
    connections: int
    seconds: float
    warm_s: float = 0.5
    stream: bool = False
    most: int = 0
    ramp_s: float = 0.2
    pids: Sequence[int] = ()


@dataclass(slots=True)
class Found:
    """What came of it, within the window: seconds, counts, medians and p99 in ms, the gateway's processor time."""

    seconds: float = 0.0
    answers: int = 0
    errors: int = 0
    chunks: int = 0
    processor_s: float = 0.0
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    first_p50_ms: float = 0.0
    gap_p99_ms: float = 0.0

    @property
    def rate(self) -> float:
        """Answers per second."""
        return self.answers / self.seconds


class Run:
    """Counts what all connections see while the window is open."""

    def __init__(self, load: Load) -> None:
        self.load = load
        self.found = Found()
        self.latencies_ms: list[float] = []
        self.first_ms: list[float] = []
        self.gaps_ms: list[float] = []
        self.is_open = False
        self.is_over = False
        self.sent = 0
        self.left = asyncio.Event()
        body = orjson.dumps(
            {
                "model": load.model,
                "stream": load.stream,
                "messages": [{"role": "user", "content": "Count to sixteen in words, please."}],
            }
        )
        self.request = (
            f"POST {load.path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {load.key}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        ).encode() + body
        self.mark = EVENT_ENDS["ollama" if load.path.startswith("/api/") else "openai"]
        self.going: set[Lane] = set()

    def may_send(self) -> bool:
        """Whether another request is wanted."""
        if self.is_over or (self.load.most and self.sent >= self.load.most):
            return False
        self.sent += 1
        return True

    def leave(self, lane: Lane) -> None:
        """A connection has no more to do."""
        self.going.discard(lane)
        if not self.going:
            self.left.set()


class Lane(asyncio.Protocol):
    """One connection: asks, reads the answer to its end, asks again."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._transport: asyncio.WriteTransport | None = None
        self._head = b""
        self._left = -1
        self._is_chunked = False
        self._tail = b""
        self._sent_at = self._seen_at = 0.0
        self._is_waiting = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask at once."""
        self._transport = cast(asyncio.WriteTransport, transport)
        self._run.going.add(self)
        self._ask()

    def connection_lost(self, exc: Exception | None) -> None:
        """An answer that was not whole is an error."""
        if self._is_waiting and not self._run.is_over:
            self._run.found.errors += 1
        self._run.leave(self)

    def data_received(self, data: bytes) -> None:
        """A part of an answer."""
        now = time.perf_counter()
        if self._left < 0 and not self._is_chunked:
            self._head += data
            at = self._head.find(b"\r\n\r\n")
            if at < 0:
                return
            head, data = self._head[:at].lower(), self._head[at + 4 :]
            self._begin(head)
        if self._is_chunked:
            self._take(data, now)
        else:
            self._left -= len(data)
            if self._left <= 0:
                self._end(now)

    def _begin(self, head: bytes) -> None:
        if not head.startswith((b"http/1.1 200", b"http/1.0 200")):
            self._run.found.errors += 1
        at = head.find(b"content-length:")
        self._is_chunked = at < 0
        if at >= 0:
            self._left = int(head[at + 15 :].split(b"\r\n", 1)[0])

    def _take(self, data: bytes, now: float) -> None:
        """Count the events that ended in this part; the gap before it belongs to the first of them."""
        held = self._tail + data
        mark = self._run.mark
        count = held.count(mark)
        at = held.rfind(mark)
        kept = held[at + len(mark) :] if at >= 0 else held
        self._tail = kept[-(max(len(mark), len(LAST)) - 1) :]
        if count and self._run.is_open:
            run = self._run
            run.found.chunks += count
            if self._seen_at:
                run.gaps_ms.append((now - self._seen_at) * 1000)
            else:
                run.first_ms.append((now - self._sent_at) * 1000)
            run.gaps_ms.extend([0.0] * (count - 1))
        if count:
            self._seen_at = now
        if held.endswith(LAST):
            self._end(now)

    def _end(self, now: float) -> None:
        self._is_waiting = False
        if self._run.is_open:
            self._run.found.answers += 1
            self._run.latencies_ms.append((now - self._sent_at) * 1000)
        self._ask()

    def abort(self) -> None:
        """Leave at once."""
        if self._transport is not None:
            self._transport.abort()

    def _ask(self) -> None:
        self._head = self._tail = b""
        self._left, self._is_chunked, self._seen_at = -1, False, 0.0
        if self._transport is None or self._transport.is_closing():
            return
        if not self._run.may_send():
            self._transport.close()
            return
        self._is_waiting = True
        self._sent_at = time.perf_counter()
        self._transport.write(self._run.request)


async def drive(load: Load) -> Found:
    """Open the connections, wait for the warm-up, open the window, close it."""
    run = Run(load)
    loop = asyncio.get_running_loop()
    processes = [psutil.Process(pid) for pid in load.pids]
    opening = asyncio.create_task(_open_all(loop, run))
    if not load.most:
        await asyncio.sleep(load.warm_s + load.ramp_s)
    run.is_open = True
    began, spent = time.perf_counter(), _processor_s(processes)
    try:
        async with asyncio.timeout(load.seconds):
            await opening
            await run.left.wait()
    except TimeoutError:
        if load.most:
            run.found.errors += len(run.going)
    run.is_open, run.is_over = False, True
    run.found.seconds = time.perf_counter() - began
    run.found.processor_s = _processor_s(processes) - spent
    for lane in list(run.going):
        lane.abort()
    run.found.p50_ms, run.found.p99_ms = _quantile(run.latencies_ms, 0.5), _quantile(run.latencies_ms, 0.99)
    run.found.first_p50_ms, run.found.gap_p99_ms = _quantile(run.first_ms, 0.5), _quantile(run.gaps_ms, 0.99)
    return run.found


def _quantile(times: list[float], share: float) -> float:
    """The time below which this share of them lies; 0 when there are none."""
    return sorted(times)[min(int(len(times) * share), len(times) - 1)] if times else 0.0


async def _open_all(loop: asyncio.AbstractEventLoop, run: Run) -> None:
    pause = run.load.ramp_s / run.load.connections
    for _ in range(run.load.connections):
        await loop.create_connection(lambda: Lane(run), "127.0.0.1", run.load.port)
        await asyncio.sleep(pause)


def _processor_s(processes: Sequence[psutil.Process]) -> float:
    return sum(times.user + times.system for one in processes for times in [one.cpu_times()])


def main() -> None:
    """Read the Load, print the Found."""
    load = Load(**orjson.loads(sys.argv[1]))
    found = uvloop.run(drive(load))
    sys.stdout.buffer.write(orjson.dumps(asdict(found)))


if __name__ == "__main__":
    main()
