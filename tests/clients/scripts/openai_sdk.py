"""OpenAI's own library for Python, of its second and third generation alike: chats."""

from __future__ import annotations

from typing import Any, Literal

import openai
import pydantic

from tests.clients.scripts.checking import HELLO, PICTURE, SCHEMA, TOOLS, TURNS, Side, refusal, run
from tests.clients.scripts.openai_asking import USAGE, chat, client, either, gathered, told

IMAGE = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PICTURE}"}}


class Answer(pydantic.BaseModel):  # type: ignore[misc]
    """What a model is made to answer."""

    n: int = pydantic.Field(ge=1, le=9)
    c: Literal["a", "b"]


def check_chat(side: Side) -> Any:
    return told(chat(side))


def check_echo(side: Side) -> Any:
    """Every character comes back, whole and in a stream, where the engine echoes."""
    return [told(chat(side, "echo"))["text"], gathered(chat(side, "echo", stream=True))["text"]]


def check_system_and_turns(side: Side) -> Any:
    return told(chat(side, messages=TURNS))


def check_content_in_parts(side: Side) -> Any:
    parts = [{"type": "text", "text": "Hello"}, {"type": "text", "text": " again"}]
    return told(chat(side, messages=[{"role": "user", "content": parts}]))["text"]


def check_stream(side: Side) -> Any:
    return gathered(chat(side, stream=True))


def check_stream_with_usage(side: Side) -> Any:
    return gathered(chat(side, stream=True, stream_options=USAGE))


def check_stream_helper(side: Side) -> Any:
    """It raises an error for an answer that was cut, so this one is short by its grammar, or by itself."""
    words: dict[str, Any] = {
        "model": side["chat"].name,
        "messages": HELLO,
        "max_tokens": 100,
        "temperature": 0,
    }
    with client(side).chat.completions.stream(**words, extra_body={"grammar": 'root ::= "fine"'}) as stream:
        kinds = {event.type for event in stream}
        return [sorted(kinds), stream.get_final_completion().choices[0].message.content]


async def check_asynchronous(side: Side) -> Any:
    words: dict[str, Any] = {
        "model": side["chat"].name,
        "messages": HELLO,
        "max_tokens": 12,
        "temperature": 0,
    }
    async with openai.AsyncOpenAI(base_url=f"{side['chat'].url}/v1", api_key=side.key, max_retries=0) as gpt:
        whole = await gpt.chat.completions.create(**words)
        pieces = [chunk async for chunk in await gpt.chat.completions.create(**words, stream=True)]
    return [told(whole), gathered(pieces)]


def check_raw_response(side: Side) -> Any:
    completions = client(side).chat.completions.with_raw_response
    answer = completions.create(model=side["chat"].name, messages=HELLO, max_tokens=3, temperature=0)
    kind = answer.headers["content-type"].split(";")[0]
    return [answer.status_code, kind, answer.parse().choices[0].message.content]


def check_tools(side: Side) -> Any:
    return told(chat(side, "tools", tools=TOOLS, parallel_tool_calls=True, max_tokens=400))


def check_tools_in_a_stream(side: Side) -> Any:
    words = {"tools": TOOLS, "parallel_tool_calls": True, "max_tokens": 400, "stream_options": USAGE}
    return gathered(chat(side, "tools", stream=True, **words))


def check_tools_there_and_back(side: Side) -> Any:
    """The calls of an answer and their results go back as the library gave them."""
    asked = chat(side, "tools", tools=TOOLS, parallel_tool_calls=True, max_tokens=400).choices[0].message
    results = [
        {"role": "tool", "tool_call_id": call.id, "content": f"{call.function.name} is fine"}
        for call in asked.tool_calls
    ]
    assert len({call.id for call in asked.tool_calls}) == len(results) > 0
    return told(chat(side, "tools", messages=[*HELLO, asked, *results], tools=TOOLS, max_tokens=400))


def check_tools_not_wanted(side: Side) -> Any:
    return told(chat(side, "tools", tools=TOOLS, tool_choice="none", max_tokens=400))


def check_tools_of_a_model_without(side: Side) -> Any:
    """What the engine makes of it, be it an answer or a refusal."""
    return either(lambda: told(chat(side, tools=TOOLS)))


def check_thinking(side: Side) -> Any:
    return told(chat(side, "tools", max_tokens=400))


def check_thinking_in_a_stream(side: Side) -> Any:
    return gathered(chat(side, "tools", stream=True, max_tokens=400))


def check_no_thinking(side: Side) -> Any:
    return told(chat(side, "tools", reasoning_effort="none", max_tokens=400))


def check_json_schema(side: Side) -> Any:
    wanted = {"type": "json_schema", "json_schema": {"name": "answer", "schema": SCHEMA, "strict": True}}
    return told(chat(side, response_format=wanted, max_tokens=100))


def check_json_object(side: Side) -> Any:
    return told(chat(side, response_format={"type": "json_object"}, max_tokens=100))


def check_parsed_answer(side: Side) -> Any:
    """What the library makes of a schema written as a class; an engine that keeps to none fails in the same way."""
    parse = client(side).chat.completions.parse
    words: dict[str, Any] = {
        "model": side["chat"].name,
        "messages": HELLO,
        "max_tokens": 100,
        "temperature": 0,
    }
    try:
        return parse(**words, response_format=Answer).choices[0].message.parsed.model_dump()
    except pydantic.ValidationError as error:
        return error.error_count()


def check_logprobs(side: Side) -> Any:
    answer = chat(side, logprobs=True, top_logprobs=2, max_tokens=4).choices[0]
    return [(one.token, round(one.logprob, 3), len(one.top_logprobs)) for one in _logprobs(answer)]


def check_logprobs_in_a_stream(side: Side) -> Any:
    chunks = list(chat(side, logprobs=True, top_logprobs=2, max_tokens=4, stream=True))
    choices = [choice for chunk in chunks for choice in chunk.choices]
    return [(one.token, len(one.top_logprobs)) for choice in choices for one in _logprobs(choice)]


def check_pictures(side: Side) -> Any:
    messages = [{"role": "user", "content": [{"type": "text", "text": "What is it?"}, IMAGE]}]
    said = either(lambda: told(chat(side, messages=messages)))
    # Ollama wraps what its runner says in JSON text once more, on this set of paths only; llama.cpp's 500 becomes
    # a 501, so that it counts as no failure of the engine.
    return said | ({"status": 5} if side.engine == "openai" else {"message": ""})


def check_stop(side: Side) -> Any:
    """It ends before the stop sequence, wherever that comes first."""
    return told(chat(side, stop=[chat(side).choices[0].message.content[2:4]], max_tokens=40))


def check_several_answers(side: Side) -> Any:
    answer = chat(side, n=2)
    return [
        len(answer.choices),
        [choice.message.content for choice in answer.choices],
        answer.usage.completion_tokens,
    ]


def check_several_answers_in_a_stream(side: Side) -> Any:
    texts: dict[int, str] = {}
    for chunk in chat(side, n=2, stream=True):
        for choice in chunk.choices:
            texts[choice.index] = texts.get(choice.index, "") + (choice.delta.content or "")
    return sorted(texts.items())


def check_seed(side: Side) -> Any:
    return [chat(side, seed=seed, temperature=2.0).choices[0].message.content for seed in (7, 7, 8)]


def check_unknown_fields(side: Side) -> Any:
    """What only the engine knows reaches it."""
    return told(chat(side, extra_body={"grammar": 'root ::= "fine"', "cache_prompt": False}))


def check_newer_limit(side: Side) -> Any:
    return told(chat(side, max_tokens=None, max_completion_tokens=3))


def check_wrong_type(side: Side) -> Any:
    """Ollama says so in Go's words, and differently on its two sets of paths."""
    said = refusal(lambda: told(chat(side, extra_body={"temperature": "hot"})))
    return said if side.engine == "openai" else said | {"message": ""}


def check_prompt_too_long(side: Side) -> Any:
    messages = [{"role": "user", "content": "word " * 3000}]
    return either(lambda: chat(side, messages=messages, max_tokens=1).choices[0].finish_reason)


def check_cancelled_stream(side: Side) -> Any:
    """After a stream that is closed early the next request is answered as if nothing had been."""
    with chat(side, stream=True, max_tokens=450) as stream:
        next(iter(stream))
    return told(chat(side))


def gateway_wrong_key(side: Side) -> Any:
    words: dict[str, Any] = {"model": side["chat"].name, "messages": HELLO}
    said = refusal(lambda: client(side, key="dpl_wrong").chat.completions.create(**words))
    assert (said["error"], said["status"]) == ("AuthenticationError", 401), said


def gateway_unknown_model(side: Side) -> Any:
    said = refusal(lambda: client(side).chat.completions.create(model="nope", messages=HELLO))
    assert (said["error"], said["status"]) == ("NotFoundError", 404), said
    assert "There are: " in said["message"], said


def gateway_no_messages(side: Side) -> Any:
    said = refusal(lambda: chat(side, messages=[]))
    assert (said["error"], said["status"]) == ("BadRequestError", 400), said


def gateway_names_the_node(side: Side) -> Any:
    completions = client(side).chat.completions.with_raw_response
    answer = completions.create(model=side["chat"].name, messages=HELLO, max_tokens=3)
    assert answer.headers["x-dpl-node-name"], dict(answer.headers)


def _logprobs(choice: Any) -> Any:
    return (choice.logprobs.content or ()) if choice.logprobs else ()


if __name__ == "__main__":
    run(globals())
