"""Agents and engines, really asked."""

from __future__ import annotations

import re
import time

import pytest

from dpl_site.healthcheck import machines
from dpl_site.healthcheck.machines import AgentToAsk, EngineToAsk, check_machines
from dpl_site.healthcheck.results import Result, State
from inference.upstream import Target
from tests.machines import Said, agent, dead_url, engine, serving
from tests.nodes.told import STATUS


async def of_agent(url: str, token: str = "", **more: object) -> Result:
    (found,) = await check_machines([AgentToAsk("n1", url, token, **more)], [], may_load=False)  # type: ignore[arg-type]
    return found


async def of_engine(url: str, *, kind: str = "ollama", may_load: bool = False, **more: object) -> Result:
    one = EngineToAsk("n1", Target(1, 1, kind, url), **more)  # type: ignore[arg-type]
    (found,) = await check_machines([], [one], may_load=may_load)
    assert found.check == "engine 1 of n1"
    return found


async def test_an_agent_that_answers_is_well() -> None:
    with agent(token="s3cret") as running:
        found = await of_agent(running.url, "s3cret")
    assert (found.check, found.state) == ("agent of n1", State.OK)
    assert "version" in found.message


async def test_an_agent_that_refuses_or_is_away_has_failed_with_the_reason() -> None:
    with agent(token="s3cret") as running:
        assert "refuses" in (await of_agent(running.url, "guess")).message
    found = await of_agent(dead_url())
    assert (found.state, "nothing listens" in found.message) == (State.FAILED, True)


async def test_a_clock_that_is_off_is_a_warning() -> None:
    with serving(lambda asked: Said(STATUS, skew_s=90)) as running:
        found = await of_agent(running.url)
    assert (found.state, "+90 s" in found.message) == (State.WARNING, True)


async def test_nodes_without_an_agent_and_those_that_push_are_told_apart() -> None:
    assert (await of_agent("")).state is State.SKIPPED
    assert (await of_agent("", age_s=2.0, is_current=True)).state is State.OK
    assert (await of_agent("", age_s=300.0)).state is State.FAILED


@pytest.mark.parametrize("dialect", ["ollama", "openai"])
async def test_an_engine_really_generates(dialect: str) -> None:
    with engine(dialect=dialect, preload=True, models=("m1",)) as url:
        found = await of_engine(url, kind=dialect)
    assert (found.state, bool(re.match("m1.* answered in", found.message))) == (State.OK, True), found


async def test_an_engine_whose_kind_is_not_known_yet_is_found_by_asking() -> None:
    with engine(preload=True) as url:
        assert (await of_engine(url, kind="")).state is State.OK


async def test_an_engine_without_a_model_in_memory_is_a_warning_and_nothing_is_loaded() -> None:
    with engine() as url:
        found = await of_engine(url)
        assert (found.state, "--load" in found.message) == (State.WARNING, True)
        assert (await of_engine(url)).state is State.WARNING
        assert (await of_engine(url, may_load=True)).state is State.OK
        assert (await of_engine(url)).state is State.OK


async def test_an_engine_that_answers_probes_and_cannot_generate_has_failed() -> None:
    with engine(preload=True, fail_rate=1.0, faults=("500",)) as url:
        assert (await of_engine(url)).state is State.FAILED


async def test_an_engine_that_is_busy_is_a_warning() -> None:
    with engine(preload=True, fail_rate=1.0, faults=("503",)) as url:
        assert (await of_engine(url)).state is State.WARNING


async def test_an_engine_that_is_away_or_something_else_has_failed() -> None:
    assert "Nothing listens" in (await of_engine(dead_url())).message
    with serving(lambda asked: Said("<html>", kind="text/html")) as page:
        assert (await of_engine(page.url)).state is State.FAILED


async def test_a_locked_node_is_not_made_to_work() -> None:
    with engine(preload=True, fail_rate=1.0, faults=("500",)) as url:
        found = await of_engine(url, locked_by="ada")
    assert (found.state, "ada" in found.message) == (State.OK, True)
    assert (await of_engine("http://127.0.0.1:1", is_enabled=False)).state is State.SKIPPED


async def test_those_that_hang_are_given_up_all_at_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machines, "ASK_S", 0.5)
    with serving(lambda asked: Said(STATUS, after_s=60)) as hanging:
        began = time.monotonic()
        agents = [AgentToAsk(f"n{number}", hanging.url, "") for number in range(20)]
        engines = [EngineToAsk("n1", Target(number, 1, "ollama", hanging.url)) for number in range(20)]
        found = await check_machines(agents, engines, may_load=False)
        took_s = time.monotonic() - began
    assert {one.state for one in found} == {State.FAILED}
    assert took_s < 10, "one after another would take 20 s"
