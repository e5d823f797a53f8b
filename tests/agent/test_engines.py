"""Engines on the usual ports: found, asked as often as they deserve, and never taken for what they are not."""

from __future__ import annotations

from urllib.parse import urlsplit

from agent.engines import ENGINE_S, NOBODY_S, OTHER_S, EnginesReading, EngineSurvey
from tests.agent.talk import ask
from tests.agent.test_lock import Clock
from tests.machines import Asked, Said, dead_url, engine, serving


def port_of(url: str) -> int:
    port = urlsplit(url).port
    assert port is not None
    return port


def test_it_finds_engines_of_both_kinds_and_merges_what_they_have() -> None:
    with engine(models=("llama3:8b", "a:1")) as named, engine(models=("a:1", "b"), dialect="openai") as other:
        survey = EngineSurvey(named, [port_of(other), port_of(dead_url())])
        ask(named, "/api/generate", {"model": "a:1"})
        reading = survey.read()
    assert reading.found == ((named, "ollama"), (other, "openai"))
    assert reading.models == ("llama3:8b", "a:1", "b")
    assert "a:1" in reading.resident


def test_an_engine_that_starts_later_is_found_and_one_that_ends_is_dropped() -> None:
    clock, told = Clock(), {"is_up": False}

    def answer(_: Asked) -> Said:
        return Said({"models": [{"name": "a:1"}]}) if told["is_up"] else Said(hangs_up=True)

    with serving(answer) as server:
        survey = EngineSurvey(dead_url(), [port_of(server.url)], clock)
        assert survey.read() == EnginesReading()
        told["is_up"] = True
        clock.now += OTHER_S
        assert survey.read().found == ((server.url, "ollama"),)
        told["is_up"] = False
        clock.now += ENGINE_S
        assert survey.read() == EnginesReading()


def test_something_else_on_a_usual_port_is_no_engine_and_is_left_alone_for_long() -> None:
    clock = Clock()
    with serving(lambda _: Said({"detail": "no"}, status=404)) as server:
        survey = EngineSurvey(dead_url(), [port_of(server.url)], clock)
        assert survey.read() == EnginesReading()
        asked = len(server.asked)
        clock.now += NOBODY_S + ENGINE_S
        survey.read()
        assert len(server.asked) == asked
        clock.now += OTHER_S
        survey.read()
        assert len(server.asked) > asked


def test_json_that_is_no_list_of_models_is_no_engine() -> None:
    with serving(lambda _: Said({"data": "x", "models": 7})) as server:
        assert EngineSurvey(dead_url(), [port_of(server.url)]).read() == EnginesReading()


def test_an_engine_without_models_is_one() -> None:
    with serving(lambda _: Said({"models": None})) as server:
        assert EngineSurvey(server.url).read().found == ((server.url, "ollama"),)


def test_the_agents_own_port_is_not_asked() -> None:
    with serving(lambda _: Said({"models": []})) as server:
        survey = EngineSurvey(dead_url(), [port_of(server.url)])
        survey.leave_out(port_of(server.url))
        assert survey.read() == EnginesReading()
        assert server.asked == []
