"""How the scripts of OpenAI's library for Python ask, and what they keep of the answers."""

from __future__ import annotations

import json
from typing import Any

import openai

from tests.clients.scripts.checking import HELLO, Side, refusal

USAGE = {"include_usage": True}


def client(side: Side, role: str = "chat", key: str = "") -> openai.OpenAI:
    """A client as people make one, but it does not try again."""
    return openai.OpenAI(base_url=f"{side[role].url}/v1", api_key=key or side.key, max_retries=0, timeout=60)


def chat(side: Side, role: str = "chat", messages: Any = HELLO, **words: Any) -> Any:
    """One chat that comes out the same each time."""
    words = {"max_tokens": 12, "temperature": 0, "seed": 1} | words
    return client(side, role).chat.completions.create(model=side[role].name, messages=messages, **words)


def told(answer: Any) -> dict[str, Any]:
    """What a whole answer says."""
    choice, usage = answer.choices[0], answer.usage
    return {
        "kind": answer.object,
        "model": answer.model,
        "role": choice.message.role,
        "text": choice.message.content or "",
        "thinking": thinking_of(choice.message),
        "calls": [
            (one.function.name, json.loads(one.function.arguments)) for one in choice.message.tool_calls or ()
        ],
        "finish": choice.finish_reason,
        "usage": [usage.prompt_tokens, usage.completion_tokens, usage.total_tokens],
    }


def thinking_of(message: Any) -> str:
    """What a model thought, under either of its names."""
    return getattr(message, "reasoning_content", None) or getattr(message, "reasoning", None) or ""


def gathered(chunks: Any) -> dict[str, Any]:
    """What a streamed answer says, put together."""
    told: dict[str, Any] = {
        "text": "",
        "thinking": "",
        "calls": {},
        "finish": [],
        "usage": None,
        "role": None,
    }
    for chunk in chunks:
        if chunk.usage:
            told["usage"] = [chunk.usage.prompt_tokens, chunk.usage.completion_tokens]
        for choice in chunk.choices:
            delta = choice.delta
            told["role"] = delta.role or told["role"]
            told["text"] += delta.content or ""
            told["thinking"] += thinking_of(delta)
            told["finish"] += [choice.finish_reason] if choice.finish_reason else []
            for part in delta.tool_calls or ():
                call = told["calls"].setdefault(str(part.index), {"ids": 0, "name": "", "arguments": ""})
                call["ids"] += bool(part.id)
                call["name"] += part.function.name or ""
                call["arguments"] += part.function.arguments or ""
    for call in told["calls"].values():
        call["arguments"] = json.loads(call["arguments"])
    return told


def either(ask: Any) -> Any:
    """What comes of it, an answer or a refusal."""
    try:
        return ask()
    except openai.APIError:
        return refusal(ask)
