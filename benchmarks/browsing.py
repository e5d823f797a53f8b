"""A Chromium on the overview: what a first load takes, how long its main thread works for a tick, what it keeps."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from tests.chaos.installation import Installation
from tests.e2e.browser import FLAGS, first_login, log_in

TASK = "RunTask"
CATEGORIES = ("disabled-by-default-devtools.timeline", "__metadata")
NEW_TICK_S = 0.2
"""Messages that come closer to each other than this are of one tick."""


@dataclass(frozen=True, slots=True)
class Load:
    """One load with nothing in the cache: its first paint, its bytes on the wire, and the socket's largest message."""

    paint_ms: float
    kilobytes: float
    message_kb: float


@dataclass(frozen=True, slots=True)
class Kept:
    """What the page holds once garbage is collected."""

    heap_mb: float
    nodes: int
    listeners: int


class Browser:
    """A browser in which the admin is logged in; each page of it begins with an empty cache."""

    def __init__(self, chromium: Any, site: Installation) -> None:
        self._chromium, self._site = chromium, site
        self._state = self._logged_in()

    def _logged_in(self) -> Any:
        context = self._chromium.new_context()
        log_in(context.new_page(), self._site.url, *first_login(self._site.log))
        state = context.storage_state()
        context.close()
        return state

    @contextmanager
    def page(self) -> Iterator[Any]:
        """An empty page."""
        context = self._chromium.new_context(
            storage_state=self._state, viewport={"width": 1440, "height": 900}, locale="en-GB"
        )
        yield context.new_page()
        context.close()

    def load(self) -> Load:
        """Load the overview with nothing in the cache, until its socket has told everything."""
        with self.page() as page:
            wire = Wire(page)
            page.goto(f"{self._site.url}/")
            wire.until_message()
            page.wait_for_load_state("networkidle")
            paint = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
            return Load(paint, wire.bytes / 1024, max(size for _, size in wire.messages) / 1024)

    @contextmanager
    def watching(self) -> Iterator[Any]:
        """A page on which the overview is live."""
        with self.page() as page:
            wire = Wire(page)
            page.goto(f"{self._site.url}/")
            wire.until_message()
            page.wait_for_timeout(5_000)
            yield page


class Wire:
    """What comes over the network for one page: bytes as they were sent, and the socket's messages with their time."""

    def __init__(self, page: Any) -> None:
        self.bytes = 0.0
        self.messages: list[tuple[float, int]] = []
        """Seconds of the browser's own clock, and characters."""
        self._page = page
        session = page.context.new_cdp_session(page)
        session.send("Network.enable")
        session.on("Network.loadingFinished", self._finished)
        session.on("Network.webSocketFrameReceived", self._received)

    def until_message(self, seconds: float = 30.0) -> None:
        """Wait for the socket's first message."""
        deadline = time.monotonic() + seconds
        while not self.messages:
            assert time.monotonic() < deadline, "the overview's socket says nothing"
            self._page.wait_for_timeout(50)

    def _finished(self, event: Mapping[str, Any]) -> None:
        self.bytes += event["encodedDataLength"]

    def _received(self, event: Mapping[str, Any]) -> None:
        self.messages.append((event["timestamp"], len(event["response"]["payloadData"])))


@dataclass(frozen=True, slots=True)
class Ticks:
    """How long the page's main thread worked in each tick, in all and at one go, milliseconds."""

    busy_ms: tuple[float, ...]
    longest_ms: tuple[float, ...]


def trace(chromium: Any, page: Any, seconds: float) -> Ticks:
    """Trace a live page for so long."""
    wire = Wire(page)
    chromium.start_tracing(page=page, categories=list(CATEGORIES))
    page.wait_for_timeout(1000 * seconds)
    events = json.loads(chromium.stop_tracing())["traceEvents"]
    return ticks(tasks_of(events), [at for at, _ in wire.messages])


def tasks_of(events: list[dict[str, Any]]) -> list[tuple[float, float]]:
    """The tasks of the main thread that worked most, which is the page's: begin in seconds, length in milliseconds."""
    mains = {
        (event["pid"], event["tid"])
        for event in events
        if event["name"] == "thread_name" and event["args"]["name"] == "CrRendererMain"
    }
    found: dict[tuple[int, int], list[tuple[float, float]]] = {main: [] for main in mains}
    for event in events:
        if event["name"] == TASK and (event["pid"], event["tid"]) in mains:
            found[event["pid"], event["tid"]].append((event["ts"] / 1e6, event.get("dur", 0) / 1e3))
    return max(found.values(), key=lambda tasks: sum(length for _, length in tasks))


def ticks(tasks: list[tuple[float, float]], messages: list[float]) -> Ticks:
    """The work from each message to the next; what comes before the first and after the last is left out."""
    begins = [
        at
        for before, at in zip([float("-inf"), *messages], messages, strict=False)
        if at - before > NEW_TICK_S
    ]
    busy, longest = [], []
    for begin, end in pairwise(begins):
        lengths = [length for at, length in tasks if begin <= at < end]
        busy.append(sum(lengths))
        longest.append(max(lengths, default=0.0))
    return Ticks(tuple(busy), tuple(longest))


def kept(page: Any) -> Kept:
    """What a page holds now, garbage collected."""
    session = page.context.new_cdp_session(page)
    session.send("HeapProfiler.collectGarbage")
    heap = session.send("Runtime.getHeapUsage")["usedSize"]
    counted = session.send("Memory.getDOMCounters")
    session.detach()
    return Kept(heap / 2**20, counted["nodes"], counted["jsEventListeners"])


@contextmanager
def browser(site: Installation, program: str) -> Iterator[tuple[Any, Browser]]:
    """Chromium itself, and the admin's browser in it."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=program, args=FLAGS)
        yield chromium, Browser(chromium, site)
        chromium.close()
