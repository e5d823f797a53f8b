"""How Ollama writes its answers: NDJSON records on its own paths, chunks and completions under /v1."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence

from agent.simulator.abilities import ToolCall, written
from agent.simulator.connection import chunk, date_line, whole
from agent.simulator.formats import created_at, go_json, nanoseconds
from agent.simulator.generation import Ask, Timing

JSON = "application/json; charset=utf-8"
V1_JSON = "application/json"
NDJSON = "application/x-ndjson"
SSE = "text/event-stream"
# Go tells the length of an answer only when it fits its buffer.
_GO_BUFFER = 2048


def go_whole(status: int, body: str, content_type: str, more: str = "", *, has_body: bool = True) -> bytes:
    """An answer as Go's server writes it: with its length when it is short, else in chunks."""
    data = body.encode()
    if len(data) <= _GO_BUFFER or not has_body:
        return whole(status, data, content_type, more, has_body=has_body)
    return stream_head(content_type, more) + chunk(data) + b"0\r\n\r\n"


def stream_head(content_type: str, more: str = "") -> bytes:
    """The head of an answer in chunks."""
    return (
        f"HTTP/1.1 200 OK\r\n{more}Content-Type: {content_type}\r\n{date_line()}"
        "Transfer-Encoding: chunked\r\n\r\n"
    ).encode("latin-1")


def method_not_allowed(allowed: str) -> bytes:
    """Ollama's answer to a method that a path does not take."""
    return whole(405, b"405 method not allowed", "text/plain", f"Allow: {allowed}\r\n")


class NativeVoice:
    """Answers of /api/chat and /api/generate; they differ in where the text stands and in the context."""

    def __init__(self, model: str, *, is_chat: bool, has_context: bool = False) -> None:
        self._model = go_json(model)
        self._before = '"message":{"role":"assistant","content":' if is_chat else '"response":'
        self._after = "}" if is_chat else ""
        self._has_context = has_context

    def opening(self) -> bytes:
        """The head alone."""
        return stream_head(NDJSON)

    def thought(self, text: str) -> bytes:
        """One line."""
        return f'{self._start("", _thinking(text))},"done":false}}\n'.encode()

    def token(self, text: str) -> bytes:
        """One line."""
        return f'{self._start(text)},"done":false}}\n'.encode()

    def closing(self, ask: Ask, timing: Timing) -> bytes:
        """Each call of a tool whole; then the line that says it is done, with the times in nanoseconds."""
        lines = [f'{self._start("", _native_calls([call]))},"done":false}}\n' for call in ask.calls]
        return f"{''.join(lines)}{self._start('')}{self._end(ask, timing)}\n".encode()

    def silence(self) -> bytes:
        """Nothing."""
        return b""

    def whole(self, ask: Ask, timing: Timing) -> bytes:
        """One object with everything."""
        more = _thinking("".join(ask.thoughts)) + _native_calls(ask.calls)
        return go_whole(200, f"{self._start(''.join(ask.pieces), more)}{self._end(ask, timing)}", JSON)

    def unfinished(self, ask: Ask) -> bytes:
        """As after an aborted prediction: 200, not done, no reason, no counts."""
        return go_whole(200, f'{self._start("".join(ask.pieces))},"done":false}}', JSON)

    def note(self, reason: str) -> bytes:
        """The answer to a request that only loads or unloads a model; never a stream."""
        return go_whole(200, f'{self._start("")},"done":true,"done_reason":"{reason}"}}', JSON)

    def _start(self, text: str, more: str = "") -> str:
        head = f'{{"model":{self._model},"created_at":"{created_at()}"'
        return f"{head},{self._before}{go_json(text)}{more}{self._after}"

    def _end(self, ask: Ask, timing: Timing) -> str:
        context = ""
        if self._has_context:
            numbers = range(259, 259 + min(64, ask.prompt_tokens + len(ask.pieces)))
            context = f',"context":[{",".join(map(str, numbers))}]'
        counted = f',"eval_count":{ask.completion_tokens}' if ask.completion_tokens else ""
        return (
            f',"done":true,"done_reason":"{ask.finish_reason}"{context}'
            f',"total_duration":{nanoseconds(timing.ended - timing.arrived)}'
            f',"load_duration":{nanoseconds(timing.loaded - timing.loading)}'
            f',"prompt_eval_count":{ask.prompt_tokens}'
            f',"prompt_eval_duration":{nanoseconds(timing.first_token - timing.loaded)}'
            f'{counted},"eval_duration":{nanoseconds(timing.ended - timing.first_token)}}}'
        )


class V1Voice:
    """Answers of Ollama's /v1/chat/completions and /v1/completions."""

    def __init__(self, model: str, *, is_chat: bool, wants_usage: bool) -> None:
        self._model = go_json(model)
        self._is_chat = is_chat
        self._wants_usage = wants_usage
        self._id = f"{'chatcmpl' if is_chat else 'cmpl'}-{random.randrange(999)}"
        self._has_begun = False

    def opening(self) -> bytes:
        """The head alone; the role comes with the first token."""
        return stream_head(SSE)

    def thought(self, text: str) -> bytes:
        """One event."""
        return self._event(self._choice("", "null", f',"reasoning":{go_json(text)}'))

    def token(self, text: str) -> bytes:
        """One event."""
        return self._event(self._choice(text, "null"))

    def closing(self, ask: Ask, timing: Timing) -> bytes:
        """The calls of tools; the event with the reason, the usage where it was asked for, and the end."""
        calls = self._event(self._choice("", "null", _v1_calls(ask.calls))) if ask.calls else b""
        finish = f'"{ask.finish_reason}"'
        last = (
            f'{{"index":0,"delta":{{}},"finish_reason":{finish}}}'
            if self._is_chat
            else self._choice("", finish)
        )
        usage = self._event("", f",{_usage(ask)}") if self._wants_usage else b""
        return calls + self._event(last) + usage + b"data: [DONE]\n\n"

    def silence(self) -> bytes:
        """An empty event without a model: what is left of an error that Ollama swallows here."""
        model, self._model, self._has_begun = self._model, '""', True
        event = self._event(self._choice("", "null"))
        self._model = model
        return event

    def whole(self, ask: Ask, timing: Timing) -> bytes:
        """One completion."""
        return self._completion(ask, f'"{ask.finish_reason}"', f",{_usage(ask)}")

    def unfinished(self, ask: Ask) -> bytes:
        """A completion without a reason and a usage."""
        return self._completion(ask, "null", "")

    def _completion(self, ask: Ask, finish: str, usage: str) -> bytes:
        text = go_json("".join(ask.pieces))
        thinking = f',"reasoning":{go_json("".join(ask.thoughts))}' if ask.thoughts else ""
        said = f'"role":"assistant","content":{text}{thinking}{_v1_calls(ask.calls)}'
        content = f'"message":{{{said}}}' if self._is_chat else f'"text":{text}'
        choice = f'{{"index":0,{content},"finish_reason":{finish}}}'
        if not self._is_chat:
            choice = f'{{{content},"index":0,"finish_reason":{finish}}}'
        kind = "chat.completion" if self._is_chat else "text_completion"
        return go_whole(200, f'{self._start(kind)},"choices":[{choice}]{usage}}}', V1_JSON)

    def _choice(self, text: str, finish: str, more: str = "") -> str:
        written = go_json(text)
        if not self._is_chat:
            return f'{{"text":{written},"index":0,"finish_reason":{finish}}}'
        role = "" if self._has_begun else '"role":"assistant",'
        self._has_begun = True
        return f'{{"index":0,"delta":{{{role}"content":{written}{more}}},"finish_reason":{finish}}}'

    def _event(self, choice: str, more: str = "") -> bytes:
        kind = "chat.completion.chunk" if self._is_chat else "text_completion"
        return f'data: {self._start(kind)},"choices":[{choice}]{more}}}\n\n'.encode()

    def _start(self, kind: str) -> str:
        return (
            f'{{"id":"{self._id}","object":"{kind}","created":{int(time.time())},"model":{self._model}'
            f',"system_fingerprint":"fp_ollama"'
        )


def _thinking(text: str) -> str:
    return f',"thinking":{go_json(text)}' if text else ""


def _native_calls(calls: Sequence[ToolCall]) -> str:
    """Arguments are an object here."""
    told = [
        {"id": one.identity, "function": {"index": one.index, "name": one.name, "arguments": one.arguments}}
        for one in calls
    ]
    return f',"tool_calls":{go_json(told)}' if told else ""


def _v1_calls(calls: Sequence[ToolCall]) -> str:
    """Arguments are JSON text here."""
    told = [
        {
            "id": one.identity,
            "index": one.index,
            "type": "function",
            "function": {"name": one.name, "arguments": written(one.arguments)},
        }
        for one in calls
    ]
    return f',"tool_calls":{go_json(told)}' if told else ""


def _usage(ask: Ask) -> str:
    completion = ask.completion_tokens
    return (
        f'"usage":{{"prompt_tokens":{ask.prompt_tokens},"completion_tokens":{completion}'
        f',"total_tokens":{ask.prompt_tokens + completion}}}'
    )
