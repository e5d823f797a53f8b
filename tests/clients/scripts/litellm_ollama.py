"""LiteLLM's library as a client of Ollama."""

from __future__ import annotations

from typing import Any

from tests.clients.scripts import litellm_sdk
from tests.clients.scripts.checking import TOOLS, Side, run

litellm_sdk.PROVIDER = "ollama_chat"


def check_chat(side: Side) -> Any:
    return litellm_sdk.check_chat(side)


def check_system_and_turns(side: Side) -> Any:
    return litellm_sdk.check_system_and_turns(side)


def check_stream(side: Side) -> Any:
    return litellm_sdk.gathered(litellm_sdk.chat(side, stream=True))


async def check_asynchronous(side: Side) -> Any:
    return await litellm_sdk.check_asynchronous(side)


def check_tools(side: Side) -> Any:
    return litellm_sdk.check_tools(side)


def check_a_tool_in_a_stream(side: Side) -> Any:
    """One: LiteLLM takes a second call in a chunk of its own for more of the first."""
    words = {"tools": TOOLS[:1], "max_tokens": 400, "drop_params": True}
    return litellm_sdk.gathered(litellm_sdk.chat(side, "tools", stream=True, **words))["calls"][:1]


def check_thinking(side: Side) -> Any:
    return litellm_sdk.check_thinking(side)


def check_json_schema(side: Side) -> Any:
    return litellm_sdk.check_json_schema(side)


def check_embeddings(side: Side) -> Any:
    return litellm_sdk.check_embeddings(side)


def gateway_unknown_model(side: Side) -> Any:
    return litellm_sdk.gateway_unknown_model(side)


def gateway_wrong_key(side: Side) -> Any:
    return litellm_sdk.gateway_wrong_key(side)


if __name__ == "__main__":
    run(globals())
