"""What an engine is asked, and under which name its model goes."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest

from inference.exchange import Limits, Route
from inference.scheduling import Candidate, EngineSnapshot
from inference.streams import TextExchange
from inference.surfaces import SURFACES
from inference.surfaces.base import Surface
from inference.upstream import Target
from inference.vectors import VectorExchange

NOBODY = cast(Any, None)
LIMITS = Limits(silence_s=1, wait_s=1, max_reply_bytes=1000)
SNAPSHOT = EngineSnapshot(1, 1, "n", is_online=True)


def sent(path: str, kind: str, model: str, has: str, **more: Any) -> tuple[bytes, bytes]:
    """What a client said, and what the engine is asked, whose own name of the model is `has`."""
    target = Target(engine_id=1, node_id=1, kind=kind, base_url="http://e", api_key="")
    route = Route(target, NOBODY, Candidate(SNAPSHOT, has, 0.0), "n")
    surface = SURFACES[path]
    asked = surface.read(json.dumps({"model": model, "messages": [], "input": "a"} | more).encode())
    kinds: Any = VectorExchange if surface.embeds else TextExchange
    return asked.raw, kinds(route, surface, asked, NOBODY, LIMITS).call.body


@pytest.mark.parametrize("path", ["/api/chat", "/api/generate", "/api/embed", "/api/embeddings"])
def test_ollama_is_asked_in_the_clients_own_bytes_when_the_tag_is_left_out(path: str) -> None:
    said, asked = sent(path, "ollama", "phi", "phi:latest")
    assert asked is said


@pytest.mark.parametrize("model", ["phi", ""])
def test_another_engine_is_asked_by_its_own_name_of_the_model(model: str) -> None:
    messages = [{"role": "user", "content": "a"}]
    _, asked = sent("/v1/chat/completions", "openai", model, "phi:latest", messages=messages, stream=True)
    assert json.loads(asked)["model"] == "phi:latest"


def test_any_model_is_asked_for_by_its_name() -> None:
    _, asked = sent("/api/chat", "ollama", "auto", "phi:latest")
    assert json.loads(asked)["model"] == "phi:latest"


def test_a_translated_answer_names_the_model_as_it_was_asked_for() -> None:
    surface = cast(Surface, SURFACES["/v1/chat/completions"])
    messages = [{"role": "user", "content": "a"}]
    _, asked = sent("/v1/chat/completions", "ollama", "phi", "phi:latest", messages=messages)
    assert json.loads(asked)["model"] == "phi"
    assert surface.dialect == "openai"
