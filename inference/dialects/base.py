"""What a dialect must be able to say: pure translation between DPL's requests and one kind of engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from inference.errors import InferenceError


@dataclass(frozen=True, slots=True)
class Generation:
    """One request for text, in DPL's own words.

    `sampling` holds OpenAI's names (temperature, top_p, max_tokens, seed, stop, …); a dialect renames those
    that its engine calls otherwise and passes unknown ones on. `wants_stream` is set for engines that
    notice a client's leaving only while they stream. With a `prompt` there are no messages: it is to be gone on with.
    `context` is what the engine has the model loaded with, in tokens, 0 when that is not known.
    """

    model: str
    messages: Sequence[Mapping[str, Any]]
    sampling: Mapping[str, Any] = field(default_factory=dict)
    wants_stream: bool = False
    prompt: str | None = None
    context: int = 0


class Call(NamedTuple):
    """An HTTP request to an engine: path below its base URL, JSON body, whether the answer streams."""

    path: str
    body: bytes
    is_streaming: bool


class Reply(NamedTuple):
    """A finished answer: the reply object in the engine's non-streaming shape as JSON text, and its usage.

    Counts are None where the engine does not say. `finish_reason` is OpenAI's word (stop, length, tool_calls).
    """

    text: str
    json: str
    finish_reason: str
    prompt_tokens: int | None
    completion_tokens: int | None
    ttft_ms: int | None = None
    duration_ms: int | None = None


class Collector(Protocol):
    """Gathers one streamed answer into a Reply."""

    @property
    def is_done(self) -> bool:
        """Whether the engine said that this was all; nothing of worth follows."""

    def feed(self, data: bytes) -> bool:
        """Take bytes as they arrive, cut anywhere; True when they held the first token or later ones.

        Raises what the engine reports in its stream, InvalidReply, or ReplyTooLarge.
        """

    def finish(self) -> Reply:
        """The whole answer. Raises StreamCut when its end is missing."""


class Dialect(Protocol):
    """One kind of engine."""

    kind: str
    frees_slot_on_close: bool

    def generation(self, request: Generation, *, chat_path_missing: bool = False) -> Call:
        """The HTTP request for one generation; `chat_path_missing` asks for the older path, where there is one.

        Raises RequestRefused for what cannot be said in this dialect.
        """

    def reply(self, body: bytes) -> Reply:
        """A non-streaming answer. Raises InvalidReply, StreamCut (it ended early) or what the engine reports."""

    def collector(self, max_bytes: int) -> Collector:
        """A new collector for a streaming answer that keeps at most `max_bytes`."""

    def error(self, status: int, body: bytes) -> InferenceError:
        """What an answer with a status other than 200 means."""

    def lacks_chat(self, status: int, body: bytes, call: Call) -> bool:
        """Whether this answer to this call means: ask again by the older path."""
