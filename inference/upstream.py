"""One generation on one engine: opened, read within its limits, always closed, and every failure named."""

from __future__ import annotations

import asyncio
import contextlib
import io
from collections.abc import Callable
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Any

import aiohttp
from django.conf import settings
from yarl import URL

from dpl_site.lib import http
from dpl_site.lib.clock import utc_now
from dpl_site.lib.http import Timeouts
from inference.dialects import DIALECTS
from inference.dialects.base import Call, Dialect, Generation, Reply
from inference.errors import (
    ConnectionLost,
    EngineRejectsUs,
    EngineTimeout,
    InferenceError,
    ReplyTooLarge,
    Unreachable,
)
from inference.llm_url import LlmUrlError, parse_llm_url
from inference.watch import Watch

__all__ = ["Target", "Timeouts", "Upstream", "headers_for", "url_of"]

# A kept-alive connection that the engine has closed breaks at once; one that breaks later broke over the prompt.
STALE_WITHIN_S = 1.0
# How long an answer that is complete may take to end its connection properly, before it is closed by force.
ENDING_S = 0.5
MAX_ERROR_BYTES = 64 * 1024
# aiohttp warns above this size: bytes are sent in one piece, a file in several.
_SENT_IN_ONE_PIECE = 1024 * 1024
BROKEN = (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError)


@dataclass(frozen=True, slots=True)
class Target:
    """The engine that a generation goes to."""

    engine_id: int
    node_id: int
    kind: str
    base_url: str
    api_key: str = ""
    chat_path_missing: bool = False
    counts: bool = False
    """Whether it tells the tokens of a stream when it is asked to: some engines refuse the question."""


class Upstream:
    """A process's way to its engines, over connections that are kept alive.

    Guarantee: when `generate` has ended, however it ended, its connection is either whole and back in the pool
    or closed, so the engine works on nothing that nobody waits for. It writes no rows; kill -9 closes its
    connections with the process.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession | None = None,
        *,
        max_reply_bytes: int | None = None,
        on_chat_path_missing: Callable[[int], None] | None = None,
    ) -> None:
        """`session` stays the caller's to close; without one, Upstream makes its own on first use.

        `max_reply_bytes` defaults to DPL_MAX_REPLY_MB. `on_chat_path_missing` is told the id of an engine that
        answered by the older path only, so that its next target can say so.
        """
        self._pooled = session
        self._own: list[aiohttp.ClientSession] = []
        self._fresh: aiohttp.ClientSession | None = None
        self._max_bytes = max_reply_bytes or settings.DPL_MAX_REPLY_MB * 1024 * 1024
        self._on_chat_path_missing = on_chat_path_missing

    async def generate(self, target: Target, request: Generation, timeouts: Timeouts) -> Reply:
        """The whole answer with its times. Raises InferenceError; cancelling it closes the connection at once.

        `first_byte_s` and `idle_s` hold for engines that are asked for a stream; a plain answer comes when it is
        whole, so only `total_s` bounds it.
        """
        dialect = DIALECTS.get(target.kind)
        if dialect is None:
            raise Unreachable(
                "What kind of engine this is has not been found out yet; wait until it was asked."
            )
        if not dialect.frees_slot_on_close and not request.wants_stream:
            request = replace(request, wants_stream=True)
        watch = Watch(timeouts)
        try:
            async with watch.timer:
                return await self._generate(target, dialect, request, watch)
        except TimeoutError as error:
            raise EngineTimeout(watch.what) from error

    async def close(self) -> None:
        """Close the connections that this object made."""
        own, self._own = self._own, []
        if self._pooled in own:
            self._pooled = None
        self._fresh = None
        for session in own:
            await session.close()

    async def _generate(self, target: Target, dialect: Dialect, request: Generation, watch: Watch) -> Reply:
        call = dialect.generation(request, chat_path_missing=target.chat_path_missing)
        outcome = await self._exchange(target, dialect, call, watch)
        if isinstance(outcome, Reply):
            return outcome
        if dialect.lacks_chat(outcome.status, outcome.body, call):
            older = dialect.generation(request, chat_path_missing=True)
            outcome = await self._exchange(target, dialect, older, watch)
            if isinstance(outcome, Reply):
                if self._on_chat_path_missing:
                    self._on_chat_path_missing(target.engine_id)
                return outcome
        raise outcome.meaning(dialect)

    async def _exchange(self, target: Target, dialect: Dialect, call: Call, watch: Watch) -> Reply | _Refusal:
        response = await self._open(target, call, watch)
        try:
            if response.status != 200:
                return await _refusal(response)
            if call.is_streaming:
                return await self._collect(response, dialect, watch)
            reply = dialect.reply(await http.read_body(response, self._max_bytes))
            return reply._replace(duration_ms=watch.elapsed_ms())
        except http.TooLarge as error:
            raise ReplyTooLarge(f"The answer is larger than {error.max_bytes} bytes.") from error
        except aiohttp.ClientError as error:
            raise ConnectionLost("The connection broke in the middle of the engine's answer.") from error
        finally:
            response.close()

    async def _collect(self, response: aiohttp.ClientResponse, dialect: Dialect, watch: Watch) -> Reply:
        collector = dialect.collector(self._max_bytes)
        ttft_ms: int | None = None
        while data := await response.content.readany():
            watch.expect_more()
            if collector.feed(data) and ttft_ms is None:
                ttft_ms = watch.elapsed_ms()
            if collector.is_done:
                break
        duration_ms = watch.elapsed_ms()
        reply = collector.finish()
        if collector.is_done:
            watch.stop()
            await _end(response)
        return reply._replace(duration_ms=duration_ms, ttft_ms=reply.ttft_ms if ttft_ms is None else ttft_ms)

    async def _open(self, target: Target, call: Call, watch: Watch) -> aiohttp.ClientResponse:
        """Send the call and wait for the answer's head.

        A connection that breaks at once, before anything came, was most likely a kept-alive one that the engine
        had closed meanwhile: the call is sent once more, on a new connection. One that breaks later, or whose
        engine is gone the moment after, broke while the engine had the prompt.
        """
        try:
            url = url_of(target.base_url, call.path)
        except LlmUrlError as error:
            raise Unreachable(error.message) from error
        watch.expect_first_byte(call)
        sent_ms = watch.elapsed_ms()
        try:
            return await self._post(self._session(), url, target, call, watch)
        except BROKEN as error:
            if isinstance(error, aiohttp.ClientConnectorError):
                raise Unreachable(_sentence(error, target)) from error
            if watch.elapsed_ms() - sent_ms > STALE_WITHIN_S * 1000:
                raise ConnectionLost(_sentence(error, target)) from error
        except aiohttp.ClientError as error:
            raise Unreachable(_sentence(error, target)) from error
        try:
            return await self._post(self._fresh_session(), url, target, call, watch)
        except aiohttp.ClientConnectorError as error:
            raise ConnectionLost(_sentence(error, target)) from error
        except aiohttp.ClientError as error:
            raise Unreachable(_sentence(error, target)) from error

    async def _post(
        self, session: aiohttp.ClientSession, url: URL, target: Target, call: Call, watch: Watch
    ) -> aiohttp.ClientResponse:
        body: Any = call.body if len(call.body) <= _SENT_IN_ONE_PIECE else io.BytesIO(call.body)
        return await session.post(
            url,
            data=body,
            headers=headers_for(target.api_key),
            allow_redirects=False,
            timeout=watch.connecting,
        )

    def _session(self) -> aiohttp.ClientSession:
        if self._pooled is None:
            self._pooled = http.session()
            self._own.append(self._pooled)
        return self._pooled

    def _fresh_session(self) -> aiohttp.ClientSession:
        if self._fresh is None:
            self._fresh = http.session(keep_alive=False)
            self._own.append(self._fresh)
        return self._fresh


def headers_for(api_key: str) -> dict[str, str]:
    """The headers of a JSON call with this key. Raises EngineRejectsUs when the key cannot stand in a header."""
    headers = {"Content-Type": "application/json"}
    if not api_key:
        return headers
    if not api_key.isprintable():
        raise EngineRejectsUs(
            "The engine's key holds a line break or another control character; enter it anew."
        )
    return headers | {"Authorization": f"Bearer {api_key}"}


@dataclass(frozen=True, slots=True)
class _Refusal:
    """An answer with a status other than 200."""

    status: int
    body: bytes
    retry_after_s: float | None

    def meaning(self, dialect: Dialect) -> InferenceError:
        error = dialect.error(self.status, self.body)
        error.retry_after_s = self.retry_after_s
        return error


async def _refusal(response: aiohttp.ClientResponse) -> _Refusal:
    """The answer with as much of its body as came: a cut or endless one still has its status."""
    body = b""
    with contextlib.suppress(aiohttp.ClientError):
        while len(body) < MAX_ERROR_BYTES and (data := await response.content.readany()):
            body += data
    return _Refusal(
        response.status, body[:MAX_ERROR_BYTES], _retry_after_s(response.headers.get("Retry-After"))
    )


def _retry_after_s(text: str | None) -> float | None:
    """Retry-After in seconds, written as a number or a date; None when missing or unreadable."""
    if not text:
        return None
    if text.strip().isdecimal():
        return float(text)
    try:
        return max(0.0, (parsedate_to_datetime(text) - utc_now()).total_seconds())
    except (ValueError, TypeError):
        return None


async def _end(response: aiohttp.ClientResponse) -> None:
    """Read to the end of an answer that is complete, so that its connection can be used again."""
    with contextlib.suppress(TimeoutError, aiohttp.ClientError):
        async with asyncio.timeout(ENDING_S):
            while await response.content.readany():
                continue


def _sentence(error: BaseException, target: Target) -> str:
    text = http.explain(error, target.base_url)
    return f"{text[:1].upper()}{text[1:]}."


@lru_cache(maxsize=1024)
def url_of(base_url: str, path: str) -> URL:
    """The address of a path of an engine, whatever form its base URL was pasted in. Raises LlmUrlError."""
    return URL(parse_llm_url(base_url).base_url + path)
