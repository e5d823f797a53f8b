"""What every exchange with an engine has: where it goes, whom it answers, its bounds, and the engine's no passed on.

Async.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeVar

from dpl_site.lib.http1 import Answer
from inference.dialects import DIALECTS
from inference.dialects.base import Call, Reply
from inference.dialects.deltas import Whole
from inference.errors import InvalidReply, NodeFault, NotSupported, RequestRefused
from inference.model_names import same_model
from inference.records import Note
from inference.scheduling import Candidate
from inference.slots import Held
from inference.surfaces.base import Asked
from inference.upstream import Target

T = TypeVar("T")

MAX_ERROR_BYTES = 64 * 1024
HTML = "HTML came where the engine should answer: another program stands there, or before it."
COMPRESSED = "The engine's answer came compressed, which nobody asked for: look at what stands before it."


class Client(Protocol):
    """The client of one request, as a door gives it."""

    has_begun: bool
    """Whether the head of an answer went to it."""
    has_content: bool
    """Whether a part of an answer went to it, so that no other engine may answer any more."""
    note: Note
    """Where what becomes of its request is noted."""

    async def begin(self, content_type: str, route: Route | None) -> None:
        """Send the head of a streamed answer, once."""

    async def write(self, data: bytes) -> None:
        """Send a part of the answer."""

    async def keep_waiting(self, data: bytes) -> None:
        """Send something that is no part of the answer."""

    async def end(self) -> None:
        """The answer is whole."""

    async def whole(self, status: int, content_type: str, body: bytes, route: Route | None) -> None:
        """Send an answer that is no stream."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one exchange, in seconds and bytes."""

    silence_s: float
    wait_s: float
    max_reply_bytes: int


class Route(NamedTuple):
    """Where a request went: the engine's address, its slot, its name of the model, and why."""

    target: Target
    held: Held
    candidate: Candidate
    node_name: str
    was_on_trial: bool = False


class Exchange(ABC):
    """One request with one engine: what is asked of it, and what it answers to the client."""

    call: Call

    def __init__(self, route: Route, asked: Asked, client: Client, limits: Limits) -> None:
        self.route = route
        self._asked, self._client, self._limits = asked, client, limits
        self._dialect = DIALECTS[route.target.kind]
        self._began = time.monotonic()
        self._ttft_ms: int | None = None
        self._whole = Whole()

    @property
    def _model(self) -> str:
        """The engine's name of the model; the client's own where Ollama knows both: its bytes stay as they are."""
        asked, own = self._asked.model, self.route.candidate.model
        return asked if self.route.target.kind == "ollama" and same_model(asked, own) else own

    @property
    @abstractmethod
    def _is_own(self) -> bool:
        """Whether client and engine speak one dialect."""

    @abstractmethod
    async def _answered(self, response: Answer, request_id: str) -> None:
        """The engine's yes to the client."""

    async def pass_on(self, response: Answer, request_id: str) -> None:
        """The engine's answer to the client."""
        if response.status != 200:
            await self._refused(response)
        elif response.header(b"content-type").startswith("text/html"):
            raise InvalidReply(HTML)
        elif response.header(b"content-encoding", "identity") != "identity":
            raise InvalidReply(COMPRESSED)
        else:
            await self._answered(response, request_id)

    async def meanwhile(self, work: Awaitable[T]) -> T:
        """Wait for the engine."""
        return await work

    def report(self) -> Reply:
        """How long it took and how many tokens it were."""
        usage = self._whole.usage
        return Reply(
            text="",
            json="",
            finish_reason=self._whole.finish_reason,
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
            ttft_ms=self._ttft_ms,
            duration_ms=round((time.monotonic() - self._began) * 1000),
        )

    async def _refused(self, response: Answer) -> None:
        """The engine's no. What is the client's own fault is passed on as it was said."""
        body = await response.read_all(MAX_ERROR_BYTES)
        error = self._dialect.error(response.status, body)
        # Ollama says 500 to options of a wrong type.
        is_theirs = 400 <= response.status < 500 or isinstance(error, RequestRefused)
        is_theirs = is_theirs and self._is_own and body.lstrip().startswith(b"{")
        if isinstance(error, NodeFault | NotSupported) or not is_theirs or self._client.has_begun:
            raise error
        kind = response.header(b"content-type", "application/json")
        await self._client.whole(response.status, kind, body, self.route)

    def _note_first(self) -> None:
        self._ttft_ms = round((time.monotonic() - self._began) * 1000)
