"""The real clients of OpenAI and Ollama through the gateway of a whole installation, to real and simulated engines."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.installation import Installation
from tests.engines.llama_server import ALIAS, llama_server
from tests.engines.simulated import SimulatedEngine
from tests.engines.tiny_gguf import SMALL, write_model

openai = pytest.importorskip("openai", reason="the client of OpenAI is not installed (requirements/slow.txt)")
ollama = pytest.importorskip("ollama", reason="the client of Ollama is not installed (requirements/slow.txt)")
pytest.importorskip("xllamacpp", reason="the llama.cpp server is not installed (requirements/slow.txt)")

HELLO = [{"role": "user", "content": "Hello, 灯"}]


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """A llama.cpp with the model `tiny` and a simulated Ollama with `echo`."""
    model = tmp_path_factory.mktemp("model") / "model.gguf"
    write_model(Path(model), SMALL)
    made = Installation(DPL_POLL_INTERVAL_S=1)
    simulated = SimulatedEngine(model="echo", echo=True, dialect="ollama")
    try:
        with llama_server(model) as server, simulated:
            made.start()
            made.manage("node", "add", "llama", "--llm", server.base_url)
            made.manage("node", "add", "sim", "--llm", simulated.url)
            yield made
    finally:
        made.stop()


@pytest.fixture(scope="module")
def gpt(fleet: Installation) -> Iterator[Any]:
    with openai.OpenAI(base_url=f"{fleet.url}/v1", api_key=fleet.key, max_retries=0) as client:
        yield client


@pytest.fixture(scope="module")
def llm(fleet: Installation) -> Any:
    return ollama.Client(host=fleet.url, headers={"Authorization": f"Bearer {fleet.key}"})


@pytest.mark.parametrize("model", [ALIAS, "echo"])
def test_openais_client_chats(gpt: Any, model: str) -> None:
    answer = gpt.chat.completions.create(model=model, messages=HELLO, max_tokens=12)
    assert answer.choices[0].message.content is not None
    assert answer.choices[0].finish_reason in ("stop", "length")
    assert answer.usage.completion_tokens > 0


@pytest.mark.parametrize("model", [ALIAS, "echo"])
def test_openais_client_streams(gpt: Any, model: str) -> None:
    options = {"include_usage": True}
    chunks = list(
        gpt.chat.completions.create(
            model=model, messages=HELLO, max_tokens=12, stream=True, stream_options=options
        )
    )
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] in ("stop", "length")
    assert chunks[-1].usage.completion_tokens > 0


@pytest.mark.parametrize("model", [ALIAS, "echo:latest"])
def test_ollamas_client_chats(llm: Any, model: str) -> None:
    answer = llm.chat(model=model, messages=HELLO, options={"num_predict": 12})
    assert answer.message.content is not None
    assert answer.done
    assert answer.eval_count > 0


@pytest.mark.parametrize("model", [ALIAS, "echo"])
def test_ollamas_client_streams_and_generates(llm: Any, model: str) -> None:
    parts = list(llm.chat(model=model, messages=HELLO, stream=True, options={"num_predict": 12}))
    assert "".join(part.message.content or "" for part in parts)
    assert parts[-1].done
    assert llm.generate(model=model, prompt="Hello", options={"num_predict": 12}).done


def test_both_see_the_models_of_the_whole_fleet(gpt: Any, llm: Any) -> None:
    assert {ALIAS, "echo:latest"} <= {model.id for model in gpt.models.list()}
    assert gpt.models.retrieve(ALIAS).id == ALIAS
    assert {ALIAS, "echo:latest"} <= {model.model for model in llm.list().models}
    assert "completion" in llm.show("echo").capabilities


def test_errors_arrive_as_the_clients_own(gpt: Any, llm: Any) -> None:
    with pytest.raises(openai.NotFoundError, match="There are"):
        gpt.chat.completions.create(model="nope", messages=HELLO)
    with pytest.raises(ollama.ResponseError, match="There are"):
        llm.chat(model="nope", messages=HELLO)
    with pytest.raises(openai.BadRequestError, match="context"):
        gpt.chat.completions.create(model=ALIAS, messages=[{"role": "user", "content": "word " * 5000}])


def test_the_node_that_answered_is_named(gpt: Any) -> None:
    answer = gpt.chat.completions.with_raw_response.create(model="echo", messages=HELLO)
    assert answer.headers["x-dpl-node-name"] == "sim"
