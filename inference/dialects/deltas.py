"""A streamed answer piece by piece, in DPL's own words, for clients that speak another dialect. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol


@dataclass(frozen=True, slots=True)
class CallPart:
    """A part of a tool call: its place among the calls, and what came of it. `arguments` is JSON text."""

    index: int
    id: str = ""
    name: str = ""
    arguments: str = ""


class Usage(NamedTuple):
    """Tokens read and written; None where the engine does not say."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class Delta(NamedTuple):
    """What one piece of an answer adds. `finish_reason` is OpenAI's word, in the piece that ends it."""

    text: str = ""
    thinking: str = ""
    calls: tuple[CallPart, ...] = ()
    logprobs: tuple[Any, ...] = ()
    finish_reason: str = ""
    usage: Usage | None = None

    @property
    def holds_token(self) -> bool:
        """Whether there is something of the answer itself in it."""
        return bool(self.text or self.thinking or self.calls)


class DeltaReader(Protocol):
    """Reads one streamed answer of an engine."""

    @property
    def is_done(self) -> bool:
        """Whether the engine said that this was all."""

    def feed(self, data: bytes) -> list[Delta]:
        """What these bytes, cut anywhere, add. Raises what the engine reports, InvalidReply or ReplyTooLarge."""

    def finish(self) -> list[Delta]:
        """What was left when the engine closed. Raises StreamCut when the end is missing."""


@dataclass(slots=True)
class Whole:
    """A whole answer, put together."""

    text: list[str] = field(default_factory=list)
    thinking: list[str] = field(default_factory=list)
    calls: dict[int, dict[str, str]] = field(default_factory=dict)
    logprobs: list[Any] = field(default_factory=list)
    finish_reason: str = ""
    usage: Usage = field(default_factory=Usage)

    def add(self, delta: Delta) -> None:
        """Take one piece."""
        if delta.text:
            self.text.append(delta.text)
        if delta.thinking:
            self.thinking.append(delta.thinking)
        for part in delta.calls:
            call = self.calls.setdefault(part.index, {"id": "", "name": "", "arguments": ""})
            call["id"] = part.id or call["id"]
            call["name"] += part.name
            call["arguments"] += part.arguments
        self.logprobs += delta.logprobs
        self.finish_reason = delta.finish_reason or self.finish_reason
        self.usage = delta.usage or self.usage
