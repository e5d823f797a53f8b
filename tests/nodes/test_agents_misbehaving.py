"""Agents that die, freeze, lie or dawdle: the right state with the right reason within 5 s, and nobody else is late."""

from __future__ import annotations

import json
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.agent.test_command import program
from tests.chaos.installation import Installation
from tests.machines import Said, serving
from tests.nodes.told import STATUS
from tests.simulated_agents import add_nodes, simulated_agents

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

TICK_S = 2.0
WITHIN_S = 5.0
HEALTHY = 20
LATE = (
    "SELECT max((julianday('now') - julianday(status.sampled_at)) * 86400) FROM nodes_nodestatus AS status "
    "JOIN nodes_node AS node ON node.id = status.node_id WHERE node.name LIKE 'box%'"
)
READ = "SELECT count(sampled_at) FROM nodes_nodestatus"


class Moody:
    """An agent that answers well until it is told how to misbehave."""

    def __init__(self) -> None:
        self.said = Said(STATUS)

    def __call__(self, asked: Any) -> Said:
        return self.said


@contextmanager
def black_hole(url: str) -> Iterator[None]:
    """Nothing at this address answers, not even the handshake: a listener whose queue is full."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        place = ("127.0.0.1", urlsplit(url).port or 0)
        listener.bind(place)
        listener.listen(0)
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(place)
        yield


def await_readings(installation: Installation) -> None:
    """Until every healthy agent was read once: only from then on can a reading be late."""
    deadline = time.monotonic() + 30
    while installation.rows(READ)[0][0] < HEALTHY:
        assert time.monotonic() < deadline, "not every healthy agent was read"
        time.sleep(0.1)


@pytest.fixture(scope="module")
def fleet() -> Iterator[tuple[Installation, dict[str, str]]]:
    """A running installation that watches healthy agents."""
    installation = Installation(DPL_POLL_INTERVAL_S=TICK_S, OLLAMA_HOST="127.0.0.1:9")
    with simulated_agents(HEALTHY) as agents:
        try:
            installation.start()
            add_nodes(installation, agents)
            await_readings(installation)
            yield installation, agents
        finally:
            installation.stop()


def node(installation: Installation, name: str) -> Any:
    found = installation.get("/api/status/all")["nodes"]
    return next(one for one in found if one["name"] == name)


def watch(installation: Installation, name: str, condition: Callable[[Any], bool]) -> float:
    """Wait until a node is as it should be, while no healthy node's reading gets late; how long that took."""
    began = time.monotonic()
    took: float | None = None
    worst = 0.0
    # On after the state is right, since what hangs goes on hanging in each tick.
    while took is None or time.monotonic() - began < took + 2 * TICK_S:
        worst = max(worst, installation.rows(LATE)[0][0])
        found = node(installation, name)
        if took is None and condition(found):
            took = time.monotonic() - began
        assert took is not None or time.monotonic() - began < WITHIN_S, found
        time.sleep(0.1)
    assert worst < 2 * TICK_S, f"another node's reading was {worst:.1f} s old"
    return took


def online(found: Any) -> bool:
    return bool(found["state"] == "online" and found["sampled_at"])


def offline(*words: str) -> Callable[[Any], bool]:
    return lambda found: found["state"] == "offline" and all(word in found["reason"] for word in words)


def test_one_that_is_killed(fleet: tuple[Installation, dict[str, str]], tmp_path: Path) -> None:
    installation, _ = fleet
    with program(tmp_path, "agent", "--port", "0") as (process, url):
        add_nodes(installation, {"killed": url})
        watch(installation, "killed", online)
        process.kill()
        process.wait()
        watch(installation, "killed", offline("nothing listens at"))


def test_one_that_is_frozen_and_goes_on(fleet: tuple[Installation, dict[str, str]], tmp_path: Path) -> None:
    installation, _ = fleet
    with program(tmp_path, "agent", "--port", "0") as (process, url):
        add_nodes(installation, {"frozen": url})
        watch(installation, "frozen", online)
        process.send_signal(signal.SIGSTOP)
        try:
            watch(installation, "frozen", offline("no answer from", "in time"))
        finally:
            process.send_signal(signal.SIGCONT)
        watch(installation, "frozen", online)


def test_one_whose_network_is_cut(fleet: tuple[Installation, dict[str, str]]) -> None:
    installation, _ = fleet
    with serving(Moody()) as server:
        add_nodes(installation, {"cut": server.url})
        watch(installation, "cut", online)
    with black_hole(server.url):
        watch(installation, "cut", offline("no answer from", "in time"))


def test_one_whose_clock_is_wrong(fleet: tuple[Installation, dict[str, str]]) -> None:
    installation, _ = fleet
    agent = Moody()
    agent.said = Said(STATUS | {"sampled_at": None}, skew_s=3600.0)
    with serving(agent) as server:
        add_nodes(installation, {"skewed": server.url})
        watch(installation, "skewed", lambda found: online(found) and abs(found["clock_skew_s"] - 3600) < 2)
        found = node(installation, "skewed")
        curve = installation.get(f"/api/v1/nodes/{found['id']}/metrics/?metric=cpu_percent&from=-1m")
    assert any(curve["series"][0]["mean"]), "it is timed by our clock"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"\x00\xff nonsense", ["not JSON", "check the port"]),
        ("<html><body>router</body></html>", ["a web page"]),
        (json.dumps({"error": "x"}), ["no agent"]),
        ("[" * 100_000, ["not JSON"]),
        (b" " * (2 << 20), ["more than 1 MiB"]),
    ],
    ids=["bytes", "page", "other", "deep", "endless"],
)
def test_one_that_answers_nonsense(
    fleet: tuple[Installation, dict[str, str]], body: bytes | str, words: list[str], request: Any
) -> None:
    installation, _ = fleet
    agent, name = Moody(), request.node.callspec.id
    with serving(agent) as server:
        add_nodes(installation, {name: server.url})
        watch(installation, name, online)
        agent.said = Said(body)
        watch(installation, name, offline(*words))


def test_one_that_answers_with_figures_that_cannot_be(fleet: tuple[Installation, dict[str, str]]) -> None:
    installation, _ = fleet
    agent = Moody()
    agent.said = Said(
        '{"agent_version": "1", "cpu": {"percent": NaN}, "memory": {"percent": -5}, "gpus": [1, null]}'
    )
    with serving(agent) as server:
        add_nodes(installation, {"liar": server.url})
        watch(installation, "liar", online)
        found = node(installation, "liar")
        curve = installation.get(
            f"/api/v1/nodes/{found['id']}/metrics/?metric=cpu_percent&metric=memory_percent"
        )
    assert found["metrics"]["cpu_percent"] is None
    assert found["metrics"]["memory_percent"] is None
    assert [one["series"] for one in curve["metrics"]] == [[], []]


def test_one_that_takes_thirty_seconds(fleet: tuple[Installation, dict[str, str]]) -> None:
    installation, _ = fleet
    agent = Moody()
    with serving(agent) as server:
        add_nodes(installation, {"dawdler": server.url})
        watch(installation, "dawdler", online)
        agent.said = Said(STATUS, after_s=30)
        watch(installation, "dawdler", offline("no answer from", "in time"))
