"""LiteLLM's library: as OpenAI's client and as Ollama's, by the kind of the address."""

from __future__ import annotations

import gc
import json
from typing import Any

import litellm

from tests.clients.scripts.checking import HELLO, SCHEMA, TOOLS, TURNS, Side, refusal, run

litellm.suppress_debug_info = True
litellm.telemetry = False
PROVIDER = "openai"


def where(side: Side, role: str = "chat", key: str = "") -> dict[str, Any]:
    """What LiteLLM must be told to find a model."""
    path = "/v1" if PROVIDER == "openai" else ""
    provider = "ollama" if PROVIDER == "ollama_chat" and role == "embed" else PROVIDER
    return {
        "model": f"{provider}/{side[role].name}",
        "api_base": f"{side[role].url}{path}",
        "api_key": key or side.key,
        "timeout": 60,
        "max_retries": 0,
    }


def chat(side: Side, role: str = "chat", messages: Any = HELLO, **words: Any) -> Any:
    """One chat that comes out the same each time."""
    words = {"max_tokens": 12, "temperature": 0, "seed": 1} | words
    return litellm.completion(messages=messages, **where(side, role), **words)


def told(answer: Any) -> dict[str, Any]:
    """What a whole answer says."""
    choice, usage = answer.choices[0], answer.usage
    calls = choice.message.tool_calls or ()
    return {
        "text": choice.message.content or "",
        "thinking": getattr(choice.message, "reasoning_content", None) or "",
        "calls": [(one.function.name, json.loads(one.function.arguments)) for one in calls],
        "finish": choice.finish_reason,
        "usage": [usage.prompt_tokens, usage.completion_tokens],
    }


def gathered(chunks: Any) -> dict[str, Any]:
    """What a streamed answer says, put together by LiteLLM itself."""
    return told(litellm.stream_chunk_builder(list(chunks), messages=HELLO))


def check_chat(side: Side) -> Any:
    return told(chat(side))


def check_system_and_turns(side: Side) -> Any:
    return told(chat(side, messages=TURNS))


def check_stream(side: Side) -> Any:
    return gathered(chat(side, stream=True, stream_options={"include_usage": True}))


async def check_asynchronous(side: Side) -> Any:
    words: dict[str, Any] = {"messages": HELLO, "max_tokens": 12, "temperature": 0} | where(side)
    whole = await litellm.acompletion(**words)
    return [told(whole), gathered([part async for part in await litellm.acompletion(**words, stream=True)])]


def check_tools(side: Side) -> Any:
    return told(chat(side, "tools", tools=TOOLS, parallel_tool_calls=True, max_tokens=400, drop_params=True))


def check_tools_in_a_stream(side: Side) -> Any:
    """With the usage from the engine: LiteLLM would count the ids of the calls, which are as long as they are."""
    usage = {"include_usage": True}
    words = {"tools": TOOLS, "parallel_tool_calls": True, "max_tokens": 400, "drop_params": True}
    return gathered(chat(side, "tools", stream=True, stream_options=usage, **words))


def check_tools_there_and_back(side: Side) -> Any:
    words = {"tools": TOOLS, "parallel_tool_calls": True, "max_tokens": 400, "drop_params": True}
    asked = chat(side, "tools", **words).choices[0].message
    results = [
        {"role": "tool", "tool_call_id": call.id, "content": f"{call.function.name} is fine"}
        for call in asked.tool_calls
    ]
    return told(chat(side, "tools", messages=[*HELLO, asked.model_dump(), *results], **words))


def check_thinking(side: Side) -> Any:
    return told(chat(side, "tools", max_tokens=400))


def check_json_schema(side: Side) -> Any:
    wanted = {"type": "json_schema", "json_schema": {"name": "answer", "schema": SCHEMA}}
    return told(chat(side, response_format=wanted, max_tokens=100))


def check_stop(side: Side) -> Any:
    return told(chat(side, stop=[chat(side).choices[0].message.content[2:4]], max_tokens=40))


def check_embeddings(side: Side) -> Any:
    answer = litellm.embedding(input=["Hello", "World"], **where(side, "embed"))
    return [[round(value, 4) for value in row["embedding"]] for row in answer.data]


def check_cancelled_stream(side: Side) -> Any:
    stream = chat(side, stream=True, max_tokens=450)
    next(iter(stream))
    # Collected here: the collector closes the connection, and would block for ever within the client's next request,
    # which holds the lock of the same pool.
    del stream
    gc.collect()
    return told(chat(side))


def gateway_unknown_model(side: Side) -> Any:
    words = where(side) | {"model": f"{PROVIDER}/nope"}
    said = refusal(lambda: litellm.completion(messages=HELLO, **words))
    assert "There are: " in said["message"], said
    assert said["status"] == 404 or PROVIDER != "openai", said


def gateway_wrong_key(side: Side) -> Any:
    said = refusal(lambda: litellm.completion(messages=HELLO, **where(side, key="dpl_wrong")))
    assert said["status"] == 401 or PROVIDER != "openai", said


if __name__ == "__main__":
    run(globals())
