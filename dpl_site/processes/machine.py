"""This machine as a node: registered once by its host name, with the engines that answer on the usual ports."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from dpl_site.lib import http
from dpl_site.lib.addresses import AddressError
from dpl_site.lib.refusals import Refused
from dpl_site.processes.installation import Say
from dpl_site.processes.ports import free_port, own_address
from inference.detection import detect
from inference.engines import engine_add
from inference.errors import NodeFault
from inference.llm_url import LlmUrlError, parse_llm_url
from inference.registration import node_add, node_update
from inference.targets import live_engines
from nodes.models import Node
from nodes.selectors import live_nodes

AGENT_PORT = 8001
USUAL_PORTS = {
    11434: "Ollama",
    8080: "llama.cpp",
    8000: "vLLM",
    8001: "vLLM",
    1234: "LM Studio",
    30000: "SGLang",
    5000: "text-generation-webui",
}
ASK_S = 1.5


@dataclass(frozen=True, slots=True)
class Agent:
    """How this machine's agent is to be started."""

    host: str
    port: int
    token: str


def register_machine(*, own_port: int, say: Say) -> Agent | None:
    """See to it that this machine is a node; its agent, or None where somebody wants it otherwise.

    A node that was removed by hand is not made again, and one whose agent was set by hand is left alone.
    """
    try:
        return _register(own_port, say)
    except Refused as refused:
        say(f"This machine is not registered as a node: {refused.message}")
        return None


def _register(own_port: int, say: Say) -> Agent | None:
    name = socket.gethostname()[:100]
    address = own_address()
    node = live_nodes().filter(name=name).first()
    if node is None:
        if Node.objects.filter(name=name, archived_at__isnull=False).exists():
            say(f"This machine is not a node: {name} was removed. `manage.py node add` makes it one again.")
            return None
        agent = Agent(address, free_port(AGENT_PORT, address, but=frozenset({own_port})), _new_token())
        node = node_add(name=name, monitor_base_url=_url(agent), agent_token=agent.token)
        say(f"This machine is the node {name}.")
    else:
        found = _agent_of(node, address, own_port)
        if found is None:
            return None
        agent = found
        node_update(node_id=node.id, monitor_base_url=_url(agent), agent_token=agent.token)
    if not live_engines().filter(node_id=node.id).exists():
        _add_engines(node, address, taken={own_port, agent.port}, say=say)
    return agent


def _agent_of(node: Node, address: str, own_port: int) -> Agent | None:
    """The agent that the node has, at another port when its own is taken by now; None when it is not ours to run."""
    known = urlsplit(node.monitor_base_url)
    if known.hostname not in (address, "127.0.0.1", "localhost"):
        return None
    port = free_port(known.port or AGENT_PORT, address, but=frozenset({own_port}))
    return Agent(address, port, node.agent_token or _new_token())


def _add_engines(node: Node, address: str, *, taken: set[int], say: Say) -> None:
    for url, server in find_engines(address, _candidates(taken)).items():
        try:
            engine_add(node_id=node.id, llm_url=url)
        except Refused as refused:
            say(f"The engine at {url} is not added: {refused.message}")
        else:
            say(f"Found an engine at {url} ({server}).")
    if not live_engines().filter(node_id=node.id).exists():
        say(
            "No engine answers on this machine's usual ports. Start Ollama, llama.cpp or vLLM and then this again, "
            "or add one with `manage.py node add` or on the nodes page."
        )


def _candidates(taken: Iterable[int]) -> list[int]:
    """The ports to ask: the usual ones, and the one that OLLAMA_HOST names."""
    ports = dict.fromkeys(USUAL_PORTS)
    try:
        named = urlsplit(parse_llm_url(os.environ.get("OLLAMA_HOST", "127.0.0.1")).base_url).port
    except LlmUrlError:
        named = None
    return [port for port in (named, *ports) if port is not None and port not in set(taken)]


def find_engines(address: str, ports: Iterable[int]) -> dict[str, str]:
    """The engines that answer at these ports of an address: URL → what each says it is."""
    return asyncio.run(_find(address, dict.fromkeys(ports)))


async def _find(address: str, ports: Iterable[int]) -> dict[str, str]:
    async with http.session() as session:

        async def ask(url: str) -> tuple[str, str] | None:
            try:
                reading = await detect(session, url, timeout_s=ASK_S)
            except (NodeFault, LlmUrlError, AddressError):
                return None
            return reading.base_url, reading.server or reading.kind

        found = await asyncio.gather(*(ask(f"http://{address}:{port}") for port in ports))
    return dict(one for one in found if one)


def _url(agent: Agent) -> str:
    return f"http://{agent.host}:{agent.port}"


def _new_token() -> str:
    return secrets.token_urlsafe(32)
