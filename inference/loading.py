"""Loads models into engines and takes them out again, as people ask. Async."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Coroutine, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import orjson

from dpl_site.lib import http, trace
from dpl_site.lib.db import call
from dpl_site.lib.refusals import Refused
from inference.dialects import DIALECTS
from inference.dialects.faults import error_in_reply
from inference.dialects.ollama import GENERATE
from inference.errors import InferenceError, StreamCut, Unreachable
from inference.exchange import Route
from inference.nowhere import nowhere
from inference.proxy import Proxy
from inference.records import Note
from inference.roster import Roster, RosterReader
from inference.scheduling import EngineSnapshot, Request, choose, model_on, obstacle
from inference.services import residency_note
from inference.surfaces.base import Asked, Surface, VectorSurface
from inference.surfaces.embeddings import OllamaEmbed
from inference.surfaces.ollama import OllamaGenerate
from inference.upstream import Target, headers_for, url_of

EARLY_S = 1.0
"""How long an answer waits for a load that fails at once, or has nothing to do."""
UNLOAD_S = 30.0
PULL = "/api/pull"
PULL_SILENCE_S = 300.0
MOST_AT_ONCE = 16
"""Models that one process loads and fetches at the same time."""
MOST_LAYERS = 256
"""Parts of a model of which the bytes are counted."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Placed:
    """Where a model is, or will be: `state` is resident, loading or pulling."""

    model: str
    node_id: int
    node_name: str
    state: str


@dataclass(slots=True)
class Watch:
    """What a load tells whoever waits for it: the task itself, and the bytes of each layer that is fetched."""

    task: asyncio.Task[None] | None = None
    layers: dict[str, tuple[int, int]] = field(default_factory=dict)

    def note(self, said: dict[str, Any]) -> None:
        """Take what an Ollama says of a layer; other lines say nothing of bytes."""
        digest, total = said.get("digest"), said.get("total")
        if (
            isinstance(digest, str)
            and isinstance(total, int)
            and (digest in self.layers or len(self.layers) < MOST_LAYERS)
        ):
            done = said.get("completed")
            self.layers[digest] = (done if isinstance(done, int) else 0, total)

    @property
    def bytes(self) -> tuple[int, int]:
        """How many are there, and of how many that are known of so far."""
        return sum(done for done, _ in self.layers.values()), sum(total for _, total in self.layers.values())


class Loader:
    """One web process's loads and fetches that are under way.

    Guarantee: a load holds a slot, as every request does, and `close` cuts all. It writes which models are
    resident. On kill -9 the engines go on with what they were asked for; whether a model is resident is known
    by the next probe.
    """

    def __init__(self, *, roster: RosterReader, proxy: Proxy, session: aiohttp.ClientSession) -> None:
        self._roster, self._proxy, self._session = roster, proxy, session
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(
        self, model: str, *, node_id: int = 0, may_pull: bool = False, watch: Watch | None = None
    ) -> Placed:
        """Load a model where it fits best, or on one node; it goes on when this has returned, as `watch` shows.

        Raises Refused (404 with what there is, 409, 429, 503) or the InferenceError of a load that failed at once.
        """
        roster = await self._roster.anew()
        nodes = frozenset({node_id} if node_id else ())
        snapshots = list(roster.snapshots.values())
        request = Request(model=model, nodes=nodes, embeds=_only_embeds(model, snapshots))
        decision = choose(request, snapshots, time.time())
        best = decision.best
        if best is None:
            if may_pull and not any(model_on(model, one, embeds=True) for one in _on(nodes, snapshots)):
                return await self._pull(model, nodes, roster, watch or Watch())
            raise nowhere(request, snapshots, decision)
        name = roster.snapshots[best.engine_id].node_name
        if roster.snapshots[best.engine_id].has_loaded(best.model):
            return Placed(best.model, best.node_id, name, "resident")
        work = self._load(best.engine_id, best.node_id, best.model, embeds=request.embeds)
        state = "resident" if await self._begin(work, watch) else "loading"
        return Placed(best.model, best.node_id, name, state)

    async def stop(self, model: str, *, node_id: int = 0) -> list[Placed]:
        """Take a model out of the engines that have it resident; which they were.

        Raises Refused (404 with what there is, 409 for engines that keep their model) or InferenceError.
        """
        roster = await self._roster.anew()
        snapshots = _on(frozenset({node_id} if node_id else ()), list(roster.snapshots.values()))
        having = [(one, name) for one in snapshots if (name := model_on(model, one, embeds=True))]
        if not having:
            request = Request(model=model, embeds=True)
            raise nowhere(request, snapshots, choose(request, snapshots, time.time()))
        loaded = [(one, name) for one, name in having if one.is_online and one.has_loaded(name)]
        able = [(one, name) for one, name in loaded if roster.targets[one.engine_id].kind == "ollama"]
        if loaded and not able:
            message = "Its engine keeps its model as long as it runs. Stop the engine on its machine."
            raise Refused(message, code="cannot_unload", status=409)
        await asyncio.gather(*(self._unload(roster.targets[one.engine_id], name) for one, name in able))
        return [Placed(name, one.node_id, one.node_name, "unloaded") for one, name in able]

    async def close(self) -> None:
        """Cut what is under way."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _begin(self, work: Coroutine[Any, Any, None], watch: Watch | None) -> bool:
        """Let it run; whether it was done at once. Raises what it raised until then; later that is logged."""
        if len(self._tasks) >= MOST_AT_ONCE:
            work.close()
            message = f"{MOST_AT_ONCE} models are being loaded. Try again when one is done."
            raise Refused(message, code="too_many", status=429)
        task = asyncio.get_running_loop().create_task(work, name="load")
        self._tasks.add(task)
        if watch is not None:
            watch.task = task
        task.add_done_callback(self._tasks.discard)
        await asyncio.wait({task}, timeout=EARLY_S)
        if task.done():
            task.result()
            return True
        task.add_done_callback(_log)
        return False

    async def _load(self, engine_id: int, node_id: int, model: str, *, embeds: bool) -> None:
        """A request without words, which Ollama answers when the model is loaded."""
        surface: Surface | VectorSurface = OllamaEmbed() if embeds else OllamaGenerate()
        body: dict[str, Any] = {"model": model, "stream": False, "options": {"num_predict": 1}}
        asked = Asked(orjson.dumps(body), body, model, wants_stream=False, nodes=frozenset({node_id}))
        nobody = _Nobody(Note(trace.request_id.get(), "load"))
        async with AsyncExitStack() as stack:
            await self._proxy.answer(surface, asked, nobody, stack, trace.request_id.get())
        if nobody.status != 200:
            raise DIALECTS["ollama"].error(nobody.status, nobody.body)
        await call(residency_note, engine_id=engine_id, model=model, is_resident=True)

    async def _unload(self, target: Target, model: str) -> None:
        answer = await self._asked(target, GENERATE, {"model": model, "keep_alive": 0, "stream": False})
        if answer.status != 200:
            raise DIALECTS["ollama"].error(answer.status, answer.body)
        await call(residency_note, engine_id=target.engine_id, model=model, is_resident=False)

    async def _asked(
        self, target: Target, path: str, body: dict[str, Any], timeout_s: float = UNLOAD_S
    ) -> http.Answer:
        try:
            return await http.ask(
                self._session,
                "POST",
                str(url_of(target.base_url, path)),
                headers=headers_for(target.api_key),
                json=body,
                timeout_s=timeout_s,
            )
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Unreachable(http.explain(error, target.base_url)) from error

    async def _pull(self, model: str, nodes: frozenset[int], roster: Roster, watch: Watch) -> Placed:
        """Let an Ollama that is free for it fetch the model, then load it."""
        able = [
            one
            for one in _on(nodes, list(roster.snapshots.values()))
            if roster.targets[one.engine_id].kind == "ollama" and not obstacle(Request(), one, model)
        ]
        if not able:
            message = f"No Ollama can fetch {model} now; only Ollama engines fetch models."
            raise Refused(message, code="cannot_pull", status=409)
        best = min(able, key=lambda one: (not one.has_gpu, one.load_percent or 0.0, one.engine_id))
        await self._begin(self._fetch(roster.targets[best.engine_id], model, watch), watch)
        return Placed(model, best.node_id, best.node_name, "pulling")

    async def _fetch(self, target: Target, model: str, watch: Watch) -> None:
        """Fetch and load it. No slot is taken: the engine is not known to have the model before the next probe."""
        timeout = aiohttp.ClientTimeout(total=None, connect=UNLOAD_S, sock_read=PULL_SILENCE_S)
        try:
            async with self._session.post(
                url_of(target.base_url, PULL),
                json={"model": model, "stream": True},
                headers=headers_for(target.api_key),
                allow_redirects=False,
                timeout=timeout,
            ) as response:
                await _follow(response, watch)
            answer = await self._asked(target, GENERATE, {"model": model, "stream": False}, PULL_SILENCE_S)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Unreachable(http.explain(error, target.base_url)) from error
        if answer.status != 200:
            raise DIALECTS["ollama"].error(answer.status, answer.body)
        logger.info("fetched %s", model, extra={"action": "model_fetched", "model": model})


async def _follow(response: aiohttp.ClientResponse, watch: Watch) -> None:
    """Read what an Ollama says while it fetches, to its end. Raises InferenceError."""
    if response.status != 200:
        raise DIALECTS["ollama"].error(response.status, await response.content.read(4096))
    status = ""
    async for line in response.content:
        said = orjson.loads(line) if line.strip() else {}
        if said.get("error"):
            raise error_in_reply(said["error"])
        watch.note(said)
        status = said.get("status") or status
    if status != "success":
        raise StreamCut("Ollama ended without having fetched the model.")


def _on(nodes: frozenset[int], snapshots: Sequence[EngineSnapshot]) -> list[EngineSnapshot]:
    return [one for one in snapshots if not nodes or one.node_id in nodes]


def _only_embeds(model: str, snapshots: Sequence[EngineSnapshot]) -> bool:
    return not any(model_on(model, one) for one in snapshots) and any(
        model_on(model, one, embeds=True) for one in snapshots
    )


def _log(task: asyncio.Task[None]) -> None:
    """What became of a load that nobody waited for."""
    error = None if task.cancelled() else task.exception()
    if isinstance(error, InferenceError | Refused):
        told = error.message
        logger.warning("a model could not be loaded: %s", told, extra={"action": "load_failed"})
    elif error is not None:
        logger.error("a load broke", exc_info=error, extra={"action": "load_broke"})


class _Nobody:
    """The client of a load: nobody waits for the answer, only for its status. What is noted of it is not kept."""

    def __init__(self, note: Note) -> None:
        self.has_begun = self.has_content = False
        self.status, self.body = 200, b""
        self.note = note

    async def begin(self, content_type: str, route: Route | None) -> None:
        """Nothing streams."""

    async def write(self, data: bytes) -> None:
        """Nothing streams."""

    async def keep_waiting(self, data: bytes) -> None:
        """Nothing streams."""

    async def end(self) -> None:
        """Nothing streams."""

    async def whole(self, status: int, content_type: str, body: bytes, route: Route | None) -> None:
        """The answer."""
        self.has_begun = self.has_content = True
        self.status, self.body = status, body
