"""An OpenAI stream, collected into the completion that the engine would have given without streaming. Pure."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import orjson

from dpl_site.lib.sse import Events, LineTooLong
from inference.dialects.base import Reply
from inference.dialects.faults import error_in_reply
from inference.dialects.repeated_text import LATE, TEXTS, RepeatedText
from inference.errors import InvalidReply, ReplyTooLarge, StreamCut


class OpenAICollector:
    """Joins the chunks of one streamed answer, choice by choice.

    The end is a finish_reason for every choice; `[DONE]` is not needed for it (transformers serve sends none).
    `whole` makes the Reply from the completion; `plain` reads a body that is JSON although a stream was asked for.
    """

    def __init__(
        self, max_bytes: int, *, whole: Callable[[dict[str, Any]], Reply], plain: Callable[[bytes], Reply]
    ) -> None:
        self._max_bytes = max_bytes
        self._whole = whole
        self._plain = plain
        self._events = Events(max_bytes)
        self._start = b""
        self._body: list[bytes] | None = None
        self._has_begun = False
        self._choices: dict[int, _Choice] = {}
        self._pattern = RepeatedText()
        self._pieces: list[str] = []
        self._head: dict[str, Any] = {}
        self._late: dict[str, Any] = {}
        self._size = 0
        self._is_done = False

    @property
    def is_done(self) -> bool:
        """Whether `[DONE]` came."""
        return self._is_done

    def feed(self, data: bytes) -> bool:
        """Take bytes as they arrive; True when they held a token or a part of a tool call."""
        if not self._has_begun:
            data = self._begin(data)
        if self._body is not None:
            return self._keep_body(data)
        size = self._size
        while data:
            run = self._pattern.cut(data) if self._events.is_between else None
            if run is None:
                data = self._take_events(data)
            else:
                text, data = run
                self._pieces.append(text)
                self._size += len(text)
        if self._size > self._max_bytes:
            raise ReplyTooLarge(f"The answer is larger than {self._max_bytes} bytes.")
        return self._size > size

    def finish(self) -> Reply:
        """The whole answer in the non-streaming shape."""
        if self._body is not None:
            return self._plain(b"".join(self._body))
        for event in self._events.rest():
            self._take_rest(event)
        cut = [choice for choice in self._choices.values() if choice.finish_reason is None]
        if not self._choices or (cut and not (self._is_done and self._size)):
            raise StreamCut("The engine's answer broke off before its end.")
        choices = [choice.whole(index) for index, choice in sorted(self._choices.items())]
        kind = "text_completion" if "text" in choices[0] else "chat.completion"
        return self._whole({"choices": choices, **self._head, "object": kind, **self._late})

    def _begin(self, data: bytes) -> bytes:
        """Tell an event stream from a JSON body by the first byte that is not blank."""
        data = self._start + data
        first = data.lstrip()[:1]
        self._start = b"" if first else data
        self._has_begun = bool(first)
        if first == b"<":
            raise InvalidReply("The engine's answer is a web page, not an event stream.")
        if first in (b"{", b"["):
            self._body = []
        return data if first else b""

    def _keep_body(self, data: bytes) -> bool:
        self._size += len(data)
        if self._size > self._max_bytes:
            raise ReplyTooLarge(f"The answer is larger than {self._max_bytes} bytes.")
        if self._body is not None:
            self._body.append(data)
        return False

    def _take_rest(self, event: bytes) -> None:
        """A last event without its blank line: whole when it is JSON, cut when it is not."""
        if event.strip() == b"[DONE]":
            self._is_done = True
            return
        with contextlib.suppress(orjson.JSONDecodeError):
            self._take(orjson.loads(event))

    def _take_events(self, data: bytes) -> bytes:
        """Take events of any kind, and give the rest: one where others like it may follow, else all."""
        is_one = self._pattern.is_learning or not self._events.is_between
        head, end, rest = data.partition(b"\n\n") if is_one else (data, b"", b"")
        try:
            events = self._events.feed(head + end)
        except LineTooLong as error:
            raise ReplyTooLarge(f"The answer passed its limit: {error}.") from error
        chunk = None
        for chunk in self._chunks(events):
            self._take(chunk)
        if end and chunk is not None and self._pattern.is_learning:
            self._learn(events[-1], chunk)
        return rest

    def _learn(self, event: bytes, chunk: Any) -> None:
        if name := self._pattern.learn(event, chunk):
            self._pieces = self._choices[0].texts[name]

    def _chunks(self, events: Sequence[bytes]) -> Iterable[Any]:
        """The events' JSON, parsed in one call, which costs a third of one for each; one by one where that fails."""
        if events and events[-1] == b"[DONE]":
            self._is_done = True
            events = events[:-1]
        try:
            chunks: list[Any] = orjson.loads(b"[%b]" % b",".join(events))
        except orjson.JSONDecodeError:
            chunks = []
        return chunks if len(chunks) == len(events) else self._one_by_one(events)

    def _one_by_one(self, events: Iterable[bytes]) -> Iterator[Any]:
        for event in events:
            if event.strip() == b"[DONE]":
                self._is_done = True
                continue
            try:
                yield orjson.loads(event)
            except orjson.JSONDecodeError as error:
                raise InvalidReply(f"The engine streamed an event that is not JSON: {error}.") from error

    def _take(self, chunk: Any) -> None:
        if chunk is None:
            # How llama.cpp begins the stream of a completion of several prompts.
            return
        if not isinstance(chunk, dict):
            raise InvalidReply("The engine streamed an event that is not a JSON object.")
        if chunk.get("error"):
            raise error_in_reply(chunk["error"])
        if not self._head:
            self._head = {
                name: chunk[name] for name in chunk if name not in LATE and name not in ("choices", "object")
            }
        if not LATE.isdisjoint(chunk):
            self._late |= {name: chunk[name] for name in chunk if name in LATE and chunk[name] is not None}
        try:
            for choice in chunk.get("choices") or ():
                index = choice.get("index") or 0
                if index not in self._choices:
                    self._choices[index] = _Choice()
                self._size += self._choices[index].take(choice)
        except (AttributeError, TypeError) as error:
            raise InvalidReply(f"The engine streamed an event of an unknown shape: {error}.") from error


class _Choice:
    """One choice as it grows: a message, or the text of a plain completion."""

    def __init__(self) -> None:
        self.finish_reason: str | None = None
        self._message: dict[str, Any] = {"role": "assistant", "content": None}
        self.texts: dict[str, list[str]] = {}
        """The pieces of each text by its name."""
        self._tool_calls: dict[int, dict[str, Any]] = {}
        self._arguments: dict[int, list[str]] = {}
        self._logprobs: dict[str, list[Any]] = {}

    def take(self, said: dict[str, Any]) -> int:
        """Add one chunk's part; gives the size of what was kept of it, 0 when it held no token."""
        delta: dict[str, Any] = said.get("delta") or {}
        size = 0
        if "text" in said and isinstance(said["text"], str):
            self.texts.setdefault("text", []).append(said["text"])
            size += len(said["text"])
        for name, value in delta.items():
            if name in TEXTS and isinstance(value, str):
                if name in self.texts:
                    self.texts[name].append(value)
                else:
                    self.texts[name] = [value]
                size += len(value)
            elif name == "tool_calls" and value:
                size += sum(self._take_tool_call(position, call) for position, call in enumerate(value))
            elif value is not None:
                self._message[name] = value
        if said.get("logprobs"):
            size += self._take_logprobs(said["logprobs"])
        if reason := said.get("finish_reason"):
            self.finish_reason = reason
        return size

    def whole(self, index: int) -> dict[str, Any]:
        """The choice in the non-streaming shape."""
        if "text" in self.texts:
            text = "".join(self.texts["text"])
            logprobs = self._logprobs or None
            return {
                "index": index,
                "text": text,
                "logprobs": logprobs,
                "finish_reason": self.finish_reason,
            }
        message = self._message | {name: "".join(texts) for name, texts in self.texts.items()}
        if self._tool_calls:
            message["tool_calls"] = [self._tool_call(position) for position in sorted(self._tool_calls)]
        else:
            message["content"] = message["content"] or ""
        made: dict[str, Any] = {"index": index, "message": message, "finish_reason": self.finish_reason}
        return made | ({"logprobs": self._logprobs} if self._logprobs else {})

    def _take_tool_call(self, position: int, said: dict[str, Any]) -> int:
        index = said.get("index", position)
        call = self._tool_calls.setdefault(index, {"function": {}})
        function = said.get("function") or {}
        call |= {name: value for name, value in said.items() if name not in ("index", "function") and value}
        call["function"] |= {name: value for name, value in function.items() if name != "arguments" and value}
        arguments = function.get("arguments") or ""
        self._arguments.setdefault(index, []).append(arguments)
        return len(arguments) + len(function.get("name") or "")

    def _tool_call(self, index: int) -> dict[str, Any]:
        call = self._tool_calls[index]
        return {**call, "function": {**call["function"], "arguments": "".join(self._arguments[index])}}

    def _take_logprobs(self, said: dict[str, Any]) -> int:
        for name, values in said.items():
            if isinstance(values, list):
                self._logprobs.setdefault(name, []).extend(values)
        return sum(100 * len(values) for values in said.values() if isinstance(values, list))
