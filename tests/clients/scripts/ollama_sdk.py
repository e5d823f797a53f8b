"""Ollama's own library for Python."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import ollama

from tests.clients.scripts.checking import HELLO, PICTURE, SCHEMA, TOOLS, TURNS, Side, refusal, run

STEADY = {"temperature": 0, "seed": 1, "num_predict": 12}


def client(side: Side, role: str = "chat", key: str = "") -> ollama.Client:
    """A client as people make one."""
    return ollama.Client(
        host=side[role].url, headers={"Authorization": f"Bearer {key or side.key}"}, timeout=60
    )


def chat(side: Side, role: str = "chat", messages: Any = HELLO, **words: Any) -> Any:
    """One chat that comes out the same each time."""
    words = {"options": STEADY} | words
    return client(side, role).chat(model=side[role].name, messages=messages, **words)


def long(side: Side, **words: Any) -> Any:
    """One chat with the model that thinks and calls tools, as long as it likes."""
    return chat(side, "tools", **{"options": STEADY | {"num_predict": 400}} | words)


def told(answer: Any) -> dict[str, Any]:
    """What an answer says."""
    message = answer.message
    return {
        "model": answer.model,
        "role": message.role,
        "text": message.content,
        "thinking": message.thinking or "",
        "calls": [(call.function.name, dict(call.function.arguments)) for call in message.tool_calls or ()],
        "end": [answer.done, answer.done_reason],
        "usage": [answer.prompt_eval_count, answer.eval_count],
        "times": bool(answer.total_duration),
    }


def gathered(parts: Any) -> dict[str, Any]:
    """What a streamed answer says, put together."""
    parts = list(parts)
    assert not any(part.done for part in parts[:-1])
    whole = told(parts[-1])
    for name in ("text", "thinking"):
        whole[name] = "".join(told(part)[name] for part in parts)
    whole["calls"] = [call for part in parts for call in told(part)["calls"]]
    return whole


def check_chat(side: Side) -> Any:
    answer = told(chat(side))
    assert answer["text"], answer
    assert (answer["end"][0], answer["usage"][1]) == (True, 12), answer
    return answer


def check_echo(side: Side) -> Any:
    """Every character comes back, where the engine echoes."""
    return [told(chat(side, "echo"))["text"], gathered(chat(side, "echo", stream=True))["text"]]


def check_system_and_turns(side: Side) -> Any:
    return told(chat(side, messages=TURNS))


def check_stream(side: Side) -> Any:
    answer = gathered(chat(side, stream=True))
    assert answer == told(chat(side))
    return answer


async def check_asynchronous(side: Side) -> Any:
    llm = ollama.AsyncClient(host=side["chat"].url, headers={"Authorization": f"Bearer {side.key}"})
    words: dict[str, Any] = {"model": side["chat"].name, "messages": HELLO, "options": STEADY}
    whole = await llm.chat(**words)
    return [told(whole), gathered([part async for part in await llm.chat(**words, stream=True)])]


def check_generate(side: Side) -> Any:
    answer = client(side).generate(
        model=side["chat"].name, prompt="Hello", system="Be brief.", options=STEADY
    )
    assert answer.response, answer
    assert answer.eval_count == 12, answer
    return [answer.model, answer.response, answer.done, answer.done_reason, answer.prompt_eval_count]


def check_generate_in_a_stream(side: Side) -> Any:
    words: dict[str, Any] = {"model": side["chat"].name, "prompt": "Hello", "options": STEADY}
    parts = list(client(side).generate(**words, stream=True))
    text = "".join(part.response for part in parts)
    assert text == client(side).generate(**words).response
    return [text, parts[-1].done, parts[-1].done_reason, parts[-1].eval_count]


def check_tools(side: Side) -> Any:
    answer = told(long(side, tools=TOOLS))
    assert answer["calls"] == [("weather", {"city": "Oslo"}), ("clock", {"zone": "UTC"})], answer
    return answer


def check_tools_in_a_stream(side: Side) -> Any:
    answer = gathered(long(side, tools=TOOLS, stream=True))
    assert [name for name, _ in answer["calls"]] == ["weather", "clock"], answer
    return answer


def check_tools_there_and_back(side: Side) -> Any:
    """The calls of an answer and their results go back as the library gave them."""
    asked = long(side, tools=TOOLS).message
    results = [
        {"role": "tool", "tool_name": call.function.name, "content": f"{call.function.name} is fine"}
        for call in asked.tool_calls
    ]
    return told(long(side, messages=[*HELLO, asked, *results], tools=TOOLS))


def check_tools_of_a_model_without(side: Side) -> Any:
    return either(lambda: told(chat(side, tools=TOOLS)))


def check_thinking(side: Side) -> Any:
    answer = told(long(side, think=True))
    assert answer["thinking"], answer
    return answer


def check_thinking_in_a_stream(side: Side) -> Any:
    answer = gathered(long(side, stream=True))
    assert answer["thinking"], answer
    return answer


def check_no_thinking(side: Side) -> Any:
    return told(long(side, think=False))


def check_thinking_of_a_model_without(side: Side) -> Any:
    return either(lambda: told(chat(side, think=True)))


def check_json_schema(side: Side) -> Any:
    answer = told(chat(side, format=SCHEMA, options=STEADY | {"num_predict": 100}))
    assert answer["text"], answer
    return answer


def check_json(side: Side) -> Any:
    return told(chat(side, format="json", options=STEADY | {"num_predict": 100}))


def check_stop(side: Side) -> Any:
    return told(chat(side, options=STEADY | {"stop": [chat(side).message.content[2:4]], "num_predict": 40}))


def check_logprobs(side: Side) -> Any:
    """How many tokens come with their likelihoods, and with how many others."""
    answer = chat(side, logprobs=True, top_logprobs=2, options=STEADY | {"num_predict": 4})
    return [len(one.top_logprobs or ()) for one in answer.logprobs or ()]


def check_pictures(side: Side) -> Any:
    messages = [{"role": "user", "content": "What is it?", "images": [base64.b64decode(PICTURE)]}]
    return either(lambda: told(chat(side, messages=messages)))


def check_embed(side: Side) -> Any:
    return _vectors(side, "Hello")


def check_embed_several(side: Side) -> Any:
    return _vectors(side, ["Hello", "灯 🔥", "Hello"])


def check_embed_of_fewer_dimensions(side: Side) -> Any:
    """llama.cpp reads over it."""
    return _vectors(side, "Hello", dimensions=8)


def check_embeddings(side: Side) -> Any:
    """The older form."""
    answer = client(side, "embed").embeddings(model=side["embed"].name, prompt="Hello")
    assert answer.embedding
    return [round(value, 4) for value in answer.embedding]


def check_show(side: Side) -> Any:
    """What is to be known of a model depends on who is asked; what it can do does not."""
    able = [client(side, role).show(side[role].name).capabilities for role in ("chat", "tools", "embed")]
    return [sorted(one or ()) for one in able] if side.engine == "ollama" else len(able)


def check_list(side: Side) -> Any:
    return bool({model.model for model in client(side).list().models} & _names(side["chat"].name))


def check_ps(side: Side) -> Any:
    return bool({model.model for model in client(side).ps().models} & _names(side["chat"].name))


def check_load(side: Side) -> Any:
    """A request without a prompt, or without messages, makes the model resident."""
    name = side["chat"].name
    loaded = [client(side).generate(model=name), client(side).chat(model=name, messages=[])]
    said = [[answer.done, answer.done_reason] for answer in loaded]
    assert said == [[True, "load"]] * 2, said
    return said


def check_unknown_model(side: Side) -> Any:
    said = refusal(lambda: client(side).chat(model="nope", messages=HELLO))
    assert "nope" in said.pop("message")
    return said


def check_unknown_model_in_a_stream(side: Side) -> Any:
    said = refusal(lambda: list(client(side).generate(model="nope", prompt="Hello", stream=True)))
    assert "nope" in said.pop("message")
    return said


def check_unknown_model_shown(side: Side) -> Any:
    said = refusal(lambda: client(side).show("nope"))
    assert "nope" in said.pop("message")
    return said


def check_wrong_type(side: Side) -> Any:
    said = either(lambda: told(chat(side, options={"temperature": "hot"})))
    assert "error" in said, said
    return said


def check_cancelled_stream(side: Side) -> Any:
    """After a stream that is closed early the next request is answered as if nothing had been."""
    stream = chat(side, stream=True, options=STEADY | {"num_predict": 450})
    next(stream)
    stream.close()
    return told(chat(side))


def gateway_unknown_model_is_told_what_there_is(side: Side) -> Any:
    said = refusal(lambda: client(side).chat(model="nope", messages=HELLO))
    assert said["status"] == 404, said
    assert "There are: " in said["message"], said


def gateway_wrong_key(side: Side) -> Any:
    said = refusal(lambda: client(side, key="dpl_wrong").chat(model=side["chat"].name, messages=HELLO))
    assert (said["error"], said["status"]) == ("ResponseError", 401), said


def gateway_pulls_nothing(side: Side) -> Any:
    said = refusal(lambda: client(side).pull("llama3"))
    assert (said["error"], said["status"]) == ("ResponseError", 501), said


def either(ask: Callable[[], Any]) -> Any:
    """What comes of it, an answer or a refusal."""
    try:
        return ask()
    except ollama.ResponseError:
        return refusal(ask)


def _vectors(side: Side, given: Any, **words: Any) -> Any:
    answer = client(side, "embed").embed(model=side["embed"].name, input=given, **words)
    assert len(answer.embeddings) == (len(given) if isinstance(given, list) else 1)
    rows = [[round(value, 4) for value in vector] for vector in answer.embeddings]
    return [answer.model, rows, answer.prompt_eval_count]


def _names(name: str) -> set[str]:
    return {name, f"{name}:latest"}


if __name__ == "__main__":
    run(globals())
