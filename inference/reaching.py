"""Whether a machine that joins can be reached from here: its agent, and each engine that it found on itself.

Async inside, for sync code. The machine's own words for itself (loopback, 0.0.0.0) mean the address that it
called from.
"""

from __future__ import annotations

import asyncio
import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit

import aiohttp

from dpl_site.lib import http
from dpl_site.lib.addresses import AddressError, check_address
from inference.detection import detect
from inference.errors import EngineRejectsUs, NodeFault
from inference.llm_url import LlmUrlError, parse_llm_url
from inference.probe import EngineSeen
from nodes.answers import NoStatus, parse_status
from nodes.join_request import JoinRequest

REACH_S = 1.5
MAX_BYTES = 1024 * 1024
_ITSELF = frozenset({"localhost", "0.0.0.0", "::"})  # noqa: S104  # what an engine listens on, not what we bind
LISTEN = (
    "Let it listen on the network (Ollama: OLLAMA_HOST=0.0.0.0; llama.cpp, vLLM: --host 0.0.0.0), open its port "
    "in the machine's firewall, then join again."
)

WANTS_A_KEY = "Add it to the node by hand, with its key."


@dataclass(frozen=True, slots=True)
class ReachedEngine:
    """An engine by its address from here. `seen` is what it answered; else `reason` says why it is not used."""

    base_url: str
    seen: EngineSeen | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Reached:
    """A machine as it is from here. `agent_url` is its agent's address, empty when it has to push, and why then."""

    agent_url: str
    why_not: str
    engines: tuple[ReachedEngine, ...]


def reach(asked: JoinRequest, address: str) -> Reached:
    """Ask the machine at `address` all at once, for REACH_S seconds at most."""
    return asyncio.run(_reach(asked, address))


def url_of(address: str, port: int) -> str:
    """The URL of a port of an IP address; an IPv4 address that came in IPv6's clothes is undressed."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return f"http://{address}:{port}"
    plain = getattr(ip, "ipv4_mapped", None) or ip
    return f"http://[{plain}]:{port}" if plain.version == 6 else f"http://{plain}:{port}"


def from_here(base_url: str, address: str) -> str:
    """An engine's address as the machine knows it, as one for us. Raises LlmUrlError."""
    parts = urlsplit(parse_llm_url(base_url).base_url)
    if not _is_itself(parts.hostname or ""):
        return parts.geturl()
    host = urlsplit(url_of(address, parts.port or 80)).netloc
    return parts._replace(netloc=host).geturl()


def _is_itself(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback or host in _ITSELF
    except ValueError:
        return host in _ITSELF


async def _reach(asked: JoinRequest, address: str) -> Reached:
    url = url_of(address, asked.port)
    async with http.session() as session, asyncio.TaskGroup() as group:
        agent = group.create_task(_agent(session, url, asked))
        engines = [group.create_task(_engine(session, one.base_url, address)) for one in asked.engines]
    why_not = agent.result()
    return Reached("" if why_not else url, why_not, tuple(engine.result() for engine in engines))


async def _agent(session: aiohttp.ClientSession, url: str, asked: JoinRequest) -> str:
    """Why the agent cannot be asked there; empty when it can.

    Behind a router the same address and port may be another machine's. So nothing secret is shown there, and one
    that names another host is not it.
    """
    try:
        check_address(url)
        answer = await http.ask(
            session,
            "GET",
            f"{url}/status",
            timeout_s=REACH_S,
            max_bytes=MAX_BYTES,
        )
    except AddressError as error:
        return error.message
    except http.TooLarge:
        return f"{url} is no agent"
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        return http.explain(error, url, what="agent")
    return _not_it(url, answer, asked.hostname)


def _not_it(url: str, answer: http.Answer, hostname: str) -> str:
    if answer.status == 401 and answer.headers.get("WWW-Authenticate", "").lower().startswith("bearer"):
        return ""
    if answer.status != 200:
        return f"{url} answers with status {answer.status}, so it is no agent"
    try:
        named = parse_status(answer.body)["hostname"]
    except NoStatus as error:
        return f"{url} answers with {error}, so it is no agent"
    return "" if named in (None, hostname) else f"{url} is the agent of {named}, another machine"


async def _engine(session: aiohttp.ClientSession, base_url: str, address: str) -> ReachedEngine:
    try:
        url = from_here(base_url, address)
    except LlmUrlError as error:
        return ReachedEngine(base_url, reason=error.message)
    try:
        reading = await detect(session, url, timeout_s=REACH_S)
    except AddressError as error:
        return ReachedEngine(url, reason=error.message)
    except EngineRejectsUs as error:
        return ReachedEngine(url, reason=f"{error.message} {WANTS_A_KEY}")
    except NodeFault as error:
        return ReachedEngine(url, reason=f"{error.message} {LISTEN}")
    problem = "It is loading its model." if reading.is_loading else ""
    return ReachedEngine(url, EngineSeen(0, 0, reading, problem, is_detected=True))
