"""Which models the engine has: Ollama's way, OpenAI's way, and engines that are slow, odd or gone."""

from __future__ import annotations

import pytest

from agent.engine import PATIENCE_S, EngineReading, EngineWatch, current_model
from tests.agent.talk import ask
from tests.agent.test_lock import Clock
from tests.machines import Asked, Said, dead_url, engine, serving


def test_it_reads_models_and_residents_from_ollama() -> None:
    with engine(models=("llama3:8b", "qwen2")) as url:
        watch = EngineWatch(url)
        assert watch.read() == EngineReading(("llama3:8b", "qwen2:latest"), ())
        ask(url, "/api/generate", {"model": "qwen2"})
        assert watch.read().resident == ("qwen2:latest",)


def test_it_reads_models_from_an_openai_engine_and_remembers_its_kind() -> None:
    def answer(asked: Asked) -> Said:
        if asked.path == "/v1/models":
            return Said({"data": [{"id": "org/model-a"}, {"id": "b"}]})
        return Said({"error": "no"}, status=404)

    with serving(answer) as server:
        watch = EngineWatch(server.url)
        assert watch.read() == EngineReading(("org/model-a", "b"), ("org/model-a", "b"))
        watch.read()
        assert server.paths() == ["/api/tags", "/v1/models", "/v1/models"]


def test_an_absent_engine_has_no_models() -> None:
    assert EngineWatch(dead_url()).read() == EngineReading()


@pytest.mark.parametrize(
    "body", ["", "not json", "[]", "[" * 100_000, '{"models": 5}', '{"models": [1, {"name": 2}]}']
)
def test_answers_that_make_no_sense_are_no_models(body: str) -> None:
    with serving(lambda _: Said(body)) as server:
        assert EngineWatch(server.url).read() == EngineReading()


def test_what_is_not_http_is_no_engine() -> None:
    with serving(lambda _: Said("x" * (5 << 20))) as server:
        assert EngineWatch(server.url).read() == EngineReading()


def test_a_busy_engine_keeps_its_models_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.engine.TIMEOUT_S", 0.05)
    delay = {"s": 0.0}
    clock = Clock()
    told = {"models": [{"name": "a:1"}]}
    with serving(lambda _: Said(told, after_s=delay["s"])) as server:
        watch = EngineWatch(server.url, clock)
        known = watch.read()
        assert known.models == ("a:1",)
        delay["s"] = 0.3
        assert watch.read() == known
        clock.now += PATIENCE_S + 1
        assert watch.read() == EngineReading()


@pytest.mark.parametrize(
    ("wanted", "reported"),
    [(None, "b:1"), ("a:1", "a:1"), ("c", "c:latest"), ("c:latest", "c:latest"), ("gone", "b:1")],
)
def test_the_current_model_is_the_wanted_else_a_resident_one(wanted: str | None, reported: str) -> None:
    assert current_model(("a:1", "b:1", "c:latest"), ("b:1",), wanted) == reported


def test_without_a_resident_model_it_is_the_first_and_without_any_none() -> None:
    assert current_model(("a:1", "b:1"), (), None) == "a:1"
    assert current_model((), (), "a:1") is None
