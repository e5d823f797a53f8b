"""This machine as a node: once, by its name, with the engines that answer on it."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from dpl_site.processes import machine
from dpl_site.processes.machine import AGENT_PORT, find_engines, register_machine
from dpl_site.processes.ports import free_port, is_free, own_address
from inference.registration import node_remove, node_update
from inference.targets import live_engines
from nodes.models import Node
from nodes.selectors import live_nodes

pytestmark = pytest.mark.django_db(transaction=True)


class _Ollama(BaseHTTPRequestHandler):
    """As much of Ollama as tells what it is."""

    def do_GET(self) -> None:
        said = {"/api/version": {"version": "0.9.0"}, "/api/tags": {"models": []}, "/api/ps": {"models": []}}
        body = json.dumps(said.get(self.path, {"error": "not found"})).encode()
        self.send_response(200 if self.path in said else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def engine() -> Iterator[int]:
    """The port of an engine on this machine."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Ollama) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def usual_ports(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Only the test's own engine stands on a usual port; what else runs on this machine is none of its business."""
    ports = [request.getfixturevalue("engine")] if "engine" in request.fixturenames else []
    monkeypatch.setattr(machine, "USUAL_PORTS", dict.fromkeys(ports, "Ollama"))
    monkeypatch.setenv("OLLAMA_HOST", f"127.0.0.1:{free_port(0)}")


def test_it_is_registered_with_its_engine_and_an_agent_that_has_a_token(engine: int) -> None:
    said: list[str] = []
    agent = register_machine(own_port=1, say=said.append)
    node = live_nodes().get()
    assert agent is not None
    assert node.name == socket.gethostname()[:100]
    assert node.monitor_base_url == f"http://127.0.0.1:{agent.port}"
    assert node.agent_token == agent.token
    assert len(agent.token) >= 32
    assert agent.port >= AGENT_PORT
    assert is_free(agent.port)
    assert [row.base_url for row in live_engines()] == [f"http://127.0.0.1:{engine}"]
    assert any("Found an engine" in line for line in said)


def test_a_second_start_changes_nothing(engine: int) -> None:
    first = register_machine(own_port=1, say=print)
    assert register_machine(own_port=1, say=print) == first
    assert live_nodes().count() == live_engines().count() == 1


def test_its_agent_moves_when_its_port_is_taken() -> None:
    first = register_machine(own_port=1, say=print)
    assert first is not None
    with socket.create_server(("127.0.0.1", first.port)):
        second = register_machine(own_port=1, say=print)
    assert second is not None
    assert second.port != first.port
    assert second.token == first.token
    assert live_nodes().get().monitor_base_url.endswith(f":{second.port}")


def test_without_an_engine_it_is_a_node_all_the_same_and_is_told_what_to_do() -> None:
    said: list[str] = []
    assert register_machine(own_port=1, say=said.append)
    assert live_nodes().count() == 1
    assert not live_engines().exists()
    assert any("Start Ollama" in line for line in said)


def test_an_engine_that_comes_later_is_found_at_the_next_start(
    engine: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(machine, "USUAL_PORTS", {})
        register_machine(own_port=1, say=print)
        assert not live_engines().exists()
    register_machine(own_port=1, say=print)
    assert live_engines().exists()


def test_our_own_port_is_never_asked_for_an_engine(engine: int) -> None:
    register_machine(own_port=engine, say=print)
    assert not live_engines().exists()


def test_a_node_that_was_removed_by_hand_is_not_made_again() -> None:
    register_machine(own_port=1, say=print)
    node_remove(node_id=Node.objects.get().id, actor="ada")
    said: list[str] = []
    assert register_machine(own_port=1, say=said.append) is None
    assert not live_nodes().exists()
    assert any("manage.py node add" in line for line in said)


def test_an_agent_that_was_set_by_hand_is_left_alone() -> None:
    register_machine(own_port=1, say=print)
    node_update(node_id=Node.objects.get().id, monitor_base_url="http://127.0.0.2:9000")
    assert register_machine(own_port=1, say=print) is None
    assert live_nodes().get().monitor_base_url == "http://127.0.0.2:9000"


@pytest.mark.slow
def test_engines_are_told_from_other_servers(engine: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        found = find_engines("127.0.0.1", [engine, mute.getsockname()[1], free_port(0)])
    assert list(found) == [f"http://127.0.0.1:{engine}"]


def test_one_machine_with_sqlite_is_reached_by_loopback() -> None:
    assert own_address() == "127.0.0.1"


def test_a_taken_port_is_passed_over() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert not is_free(port)
        assert free_port(port) != port
    assert free_port(port, but=frozenset({port})) != port
