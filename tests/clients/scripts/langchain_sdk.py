"""LangChain over OpenAI's dialect, as its users build chains of it."""

from __future__ import annotations

from typing import Any, Literal

import pydantic
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_openai import ChatOpenAI, OpenAIEmbeddings

from tests.clients.scripts.checking import TOOLS, Side, refusal, run

HELLO = [SystemMessage("You are brief."), HumanMessage("Hello, 灯 🔥")]


class Answer(pydantic.BaseModel):  # type: ignore[misc]
    """What a model is made to answer."""

    n: int = pydantic.Field(ge=1, le=9)
    c: Literal["a", "b"]


def chat(side: Side, role: str = "chat", key: str = "", **words: Any) -> ChatOpenAI:
    """A chat model that answers the same each time."""
    words = {"max_tokens": 12, "temperature": 0, "seed": 1, "model": side[role].name} | words
    return ChatOpenAI(
        base_url=f"{side[role].url}/v1", api_key=key or side.key, max_retries=0, timeout=60, **words
    )


def told(message: Any) -> dict[str, Any]:
    """What a message says, whole or added up from a stream."""
    usage = message.usage_metadata or {}
    return {
        "text": message.content,
        "calls": [(call["name"], call["args"]) for call in message.tool_calls],
        "finish": message.response_metadata.get("finish_reason"),
        "usage": [usage.get("input_tokens"), usage.get("output_tokens")],
    }


def added(parts: Any) -> dict[str, Any]:
    """What a stream says in the end."""
    whole: Any = None
    for part in parts:
        whole = part if whole is None else whole + part
    return told(whole)


def check_invoke(side: Side) -> Any:
    return told(chat(side).invoke(HELLO))


def check_stream(side: Side) -> Any:
    return added(chat(side, stream_usage=True).stream(HELLO))


async def check_asynchronous(side: Side) -> Any:
    model = chat(side)
    return [told(await model.ainvoke(HELLO)), added([part async for part in model.astream(HELLO)])]


def check_batch(side: Side) -> Any:
    answers = chat(side).batch([[HumanMessage(text)] for text in ("One?", "Two?", "Three?")])
    return [told(answer) for answer in answers]


def check_tools(side: Side) -> Any:
    return told(chat(side, "tools", max_tokens=400).bind_tools(TOOLS, parallel_tool_calls=True).invoke(HELLO))


def check_tools_in_a_stream(side: Side) -> Any:
    return added(
        chat(side, "tools", max_tokens=400).bind_tools(TOOLS, parallel_tool_calls=True).stream(HELLO)
    )


def check_tools_there_and_back(side: Side) -> Any:
    model = chat(side, "tools", max_tokens=400).bind_tools(TOOLS, parallel_tool_calls=True)
    asked = model.invoke(HELLO)
    assert isinstance(asked, AIMessage)
    assert asked.tool_calls
    results = [ToolMessage("fine", tool_call_id=call["id"]) for call in asked.tool_calls]
    return told(model.invoke([*HELLO, asked, *results]))


def check_structured_output(side: Side) -> Any:
    """An engine that keeps to no schema fails in the same way."""
    model = chat(side, max_tokens=100).with_structured_output(Answer, method="json_schema", include_raw=True)
    try:
        answer: Any = model.invoke(HELLO)
    except pydantic.ValidationError as error:
        return error.error_count()
    return [answer["parsed"].model_dump(), type(answer["parsing_error"]).__name__]


def check_logprobs(side: Side) -> Any:
    answer = chat(side, max_tokens=4).bind(logprobs=True).invoke(HELLO)
    told = answer.response_metadata.get("logprobs") or {}
    return [one["token"] for one in told.get("content") or ()]


def check_embeddings(side: Side) -> Any:
    """Texts as they are: by default it sends the tokens of OpenAI's own models, whose table it would fetch."""
    model = OpenAIEmbeddings(
        base_url=f"{side['embed'].url}/v1",
        api_key=side.key,
        model=side["embed"].name,
        check_embedding_ctx_length=False,
    )
    vectors = [*model.embed_documents(["Hello", "World"]), model.embed_query("Hello")]
    return [[round(value, 4) for value in vector] for vector in vectors]


def check_cancelled_stream(side: Side) -> Any:
    stream = chat(side, max_tokens=450).stream(HELLO)
    next(iter(stream))
    stream.close()
    return told(chat(side).invoke(HELLO))


def gateway_unknown_model(side: Side) -> Any:
    said = refusal(lambda: chat(side, model="nope").invoke(HELLO))
    assert said["status"] == 404, said
    assert "There are: " in said["message"], said


def gateway_wrong_key(side: Side) -> Any:
    said = refusal(lambda: chat(side, key="dpl_wrong").invoke(HELLO))
    assert said["status"] == 401, said


if __name__ == "__main__":
    run(globals())
