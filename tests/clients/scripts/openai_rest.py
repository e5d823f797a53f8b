"""OpenAI's own library for Python: completions, embeddings and models."""

from __future__ import annotations

import array
import base64
from typing import Any

from tests.clients.scripts.checking import Side, refusal, run
from tests.clients.scripts.openai_asking import USAGE, client, either

TEXTS = ["Hello", "灯 🔥", "Hello"]


def complete(side: Side, **words: Any) -> Any:
    """One completion that comes out the same each time."""
    words = {"max_tokens": 12, "temperature": 0, "seed": 1, "prompt": "Hello"} | words
    return client(side).completions.create(model=side["chat"].name, **words)


def told(answer: Any) -> dict[str, Any]:
    """What a completion says."""
    choices = [[choice.index, choice.text, choice.finish_reason] for choice in answer.choices]
    return {"kind": answer.object, "choices": choices, "usage": answer.usage and answer.usage.total_tokens}


def embed(side: Side, given: Any, **words: Any) -> Any:
    """Vectors, rounded: their digits depend on the way they are written."""
    answer = client(side, "embed").embeddings.create(model=side["embed"].name, input=given, **words)
    rows = [(row.index, [round(value, 4) for value in row.embedding]) for row in answer.data]
    return {
        "kind": answer.object,
        "rows": rows,
        "usage": [answer.usage.prompt_tokens, answer.usage.total_tokens],
    }


def check_completion(side: Side) -> Any:
    return told(complete(side))


def check_completion_in_a_stream(side: Side) -> Any:
    chunks = list(complete(side, stream=True, stream_options=USAGE))
    choices = [choice for chunk in chunks for choice in chunk.choices]
    text = "".join(choice.text for choice in choices)
    return [
        text,
        [one.finish_reason for one in choices if one.finish_reason],
        chunks[-1].usage.completion_tokens,
    ]


def gateway_completes_a_list_of_one(side: Side) -> Any:
    """Which Ollama itself refuses."""
    assert told(complete(side, prompt=["Hello"])) == told(complete(side))


def check_completion_stops(side: Side) -> Any:
    return told(complete(side, stop=[complete(side).choices[0].text[2:4]]))


def check_completion_of_several_prompts(side: Side) -> Any:
    """Ollama takes no list, and says so in Go's words."""
    return either(lambda: told(complete(side, prompt=["Hello", "World"]))) | {"message": ""}


def check_completion_logprobs(side: Side) -> Any:
    logprobs = complete(side, logprobs=1, max_tokens=3).choices[0].logprobs
    return len((logprobs.model_dump().get("content") or ()) if logprobs else ())


def check_embedding(side: Side) -> Any:
    return embed(side, "Hello")


def check_embeddings(side: Side) -> Any:
    return embed(side, TEXTS)


def check_embeddings_as_numbers(side: Side) -> Any:
    return embed(side, ["Hello", "World"], encoding_format="float")


def check_embeddings_as_base64(side: Side) -> Any:
    """As it comes: the library reads it only when it asked for it by itself."""
    create = client(side, "embed").embeddings.create
    told = create(model=side["embed"].name, input="Hello", encoding_format="base64").data[0].embedding
    floats = array.array("f", base64.b64decode(told)) if isinstance(told, str) else told
    return [round(value, 4) for value in floats]


def check_embeddings_of_a_model_that_chats(side: Side) -> Any:
    ask = client(side).embeddings
    return either(lambda: len(ask.create(model=side["chat"].name, input="Hello").data))


def check_models(side: Side) -> Any:
    """What they say of each other differs; that the model is there does not."""
    found = client(side).models.list()
    names = {model.id for model in found}
    return [found.object, bool({side["chat"].name, f"{side['chat'].name}:latest"} & names)]


def gateway_retrieves_a_model(side: Side) -> Any:
    for role in ("chat", "tools", "embed"):
        found = client(side).models.retrieve(side[role].name)
        assert found.id.removesuffix(":latest") == side[role].name, found


def gateway_lists_all_models(side: Side) -> Any:
    names = {model.id.removesuffix(":latest") for model in client(side).models.list()}
    assert {model.name for model in side.models.values()} <= names, names


def gateway_retrieves_no_unknown_model(side: Side) -> Any:
    said = refusal(lambda: client(side).models.retrieve("nope"))
    assert (said["error"], said["status"]) == ("NotFoundError", 404), said


if __name__ == "__main__":
    run(globals())
