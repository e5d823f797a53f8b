"""The one door out: every HTTP client is made here, bounded in time, without redirects, cookies or proxies.

aiohttp carries tokens, dataset items and probes, to allowed addresses only (`dpl_site.lib.addresses`); httpx the
rest: addresses that whoever runs the installation sets, so no policy stands before them. Both are imported when
first asked for, so that a process that calls nobody stays small. aiohttp follows redirects unless each call says
otherwise: `ask` does, and whoever calls a session's methods passes `allow_redirects=False`.
"""

from __future__ import annotations

import errno
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from dpl_site.lib.addresses import AddressError, AddressPolicy, site_policy

if TYPE_CHECKING:
    import aiohttp
    import httpx

# Shorter than what servers keep idle connections for (llama.cpp and uvicorn: 5 s), so that a request is
# seldom sent into a connection that is being closed.
KEEP_ALIVE_S = 4.0
_DEFAULT_HEADERS = {"User-Agent": "dpl", "Accept-Encoding": "identity"}


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Limits of one exchange, in seconds: to connect, to the first byte, between bytes, and for all of it."""

    connect_s: float
    first_byte_s: float
    idle_s: float
    total_s: float


class TooLarge(Exception):
    """An answer passed the size it was allowed."""

    def __init__(self, max_bytes: int) -> None:
        super().__init__(f"the answer is larger than {max_bytes} bytes")
        self.max_bytes = max_bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer, read within its limits."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def content_type(self) -> str:
        """The media type without its parameters, in lower case; empty when not said."""
        return self.headers.get("Content-Type", "").partition(";")[0].strip().lower()

    @property
    def server(self) -> str:
        """What the server calls itself; empty when not said."""
        return self.headers.get("Server", "")[:100]


def session(
    *, connections: int = 0, policy: AddressPolicy | None = None, keep_alive: bool = True
) -> aiohttp.ClientSession:
    """A new session, to be made inside a running loop and closed by the caller.

    `connections` bounds how many are open at once (0: no bound). `policy` defaults to this installation's;
    connecting to what it forbids fails with an OSError inside aiohttp's ClientConnectorError. Without
    `keep_alive` every request takes a connection of its own.
    """
    import aiohttp

    connector = aiohttp.TCPConnector(
        limit=connections,
        force_close=not keep_alive,
        keepalive_timeout=KEEP_ALIVE_S if keep_alive else None,
        socket_factory=_socket_factory(policy or site_policy()),
    )
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        headers=_DEFAULT_HEADERS,
        trust_env=False,
        timeout=aiohttp.ClientTimeout(total=30, connect=5),
    )


@lru_cache(maxsize=64)
def timeout(*, connect_s: float, total_s: float | None) -> aiohttp.ClientTimeout:
    """aiohttp's own timeouts; `connect_s` covers the name's resolution too."""
    import aiohttp

    return aiohttp.ClientTimeout(total=total_s, connect=connect_s)


async def ask(
    client: aiohttp.ClientSession,
    method: str,
    url: str,
    *,
    timeout_s: float,
    headers: Mapping[str, str] | None = None,
    json: Any = None,
    max_bytes: int = 4 * 1024 * 1024,
) -> Answer:
    """One small exchange, read whole. Raises aiohttp's ClientError, TimeoutError, or TooLarge."""
    async with client.request(
        method,
        url,
        headers=headers,
        json=json,
        allow_redirects=False,
        timeout=timeout(connect_s=timeout_s, total_s=timeout_s),
    ) as response:
        return Answer(response.status, response.headers, await read_body(response, max_bytes))


async def read_body(response: aiohttp.ClientResponse, max_bytes: int) -> bytes:
    """The whole body. Raises TooLarge, before reading where the length is announced; the connection is then closed."""
    if (response.content_length or 0) > max_bytes:
        response.close()
        raise TooLarge(max_bytes)
    parts: list[bytes] = []
    size = 0
    while data := await response.content.readany():
        size += len(data)
        if size > max_bytes:
            response.close()
            raise TooLarge(max_bytes)
        parts.append(data)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def explain(error: BaseException, url: str, *, what: str = "engine") -> str:
    """Why a call to `url` failed, as a sentence for people that says what to do. `what` is what should be there."""
    import aiohttp

    parts = urlsplit(url)
    place = parts.netloc.rpartition("@")[2]
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return why_not_connected(socket.gaierror(), parts.hostname or "", place, what)
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return why_not_connected(error.certificate_error, parts.hostname or "", place, what)
    if isinstance(error, aiohttp.ClientConnectorError):
        return why_not_connected(error.os_error, parts.hostname or "", place, what)
    if isinstance(error, TimeoutError):
        return why_not_connected(error, parts.hostname or "", place, what)
    if isinstance(error, (aiohttp.ClientResponseError, aiohttp.InvalidURL)):
        return f"{place} answers, but not in HTTP; check the port"
    if isinstance(error, (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError)):
        return f"{place} closed the connection without an answer; look at what the {what} logs"
    return f"the exchange with {place} failed: {error or type(error).__name__}"


def why_not_connected(error: BaseException, host: str, place: str, what: str) -> str:
    """Why no connection was had to `place` (a host, and its port where it is named), as `explain` says it."""
    if isinstance(error, socket.gaierror):
        return f"the name {host} is not found; check its spelling, or enter an IP address"
    if isinstance(error, ssl.CertificateError):
        return f"the certificate of {place} is not trusted ({error}); trust its authority here"
    if isinstance(error, ssl.SSLError):
        return f"{place} does not answer in TLS ({error}); try http:// instead of https://"
    if isinstance(error, TimeoutError):
        return (
            f"no answer from {place} in time; is the machine on, and does its firewall let this port through?"
        )
    if isinstance(error, OSError) and error.errno == errno.EACCES:
        return str(error.strerror)
    code = error.errno if isinstance(error, OSError) else None
    return _refused(code, place, what) or f"no connection to {place}: {error}"


def outside(*, timeouts: Timeouts, transport: httpx.BaseTransport | None = None) -> httpx.Client:
    """A new client for everything that is not tokens or probes; the caller closes it. `transport` is for tests."""
    import httpx

    return httpx.Client(**_outside(timeouts), transport=transport)


def outside_async(
    *, timeouts: Timeouts, transport: httpx.AsyncBaseTransport | None = None
) -> httpx.AsyncClient:
    """The same for async code."""
    import httpx

    return httpx.AsyncClient(**_outside(timeouts), transport=transport)


def _outside(timeouts: Timeouts) -> dict[str, Any]:
    import httpx

    limits = httpx.Timeout(timeouts.idle_s, connect=timeouts.connect_s, pool=timeouts.connect_s)
    return {
        "timeout": limits,
        "trust_env": False,
        "follow_redirects": False,
        "headers": {"User-Agent": "dpl"},
    }


def _socket_factory(policy: AddressPolicy) -> Any:
    """What makes each connection's socket, after names were resolved: the last place to say no."""

    def make(info: tuple[Any, ...]) -> socket.socket:
        family, kind, protocol, _, address = info
        try:
            policy.check_ip(address[0])
        except AddressError as error:
            raise OSError(errno.EACCES, error.message) from error
        made = socket.socket(family, kind, protocol)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return made

    return make


def _refused(code: int | None, place: str, what: str) -> str:
    if code == errno.ECONNREFUSED:
        return f"nothing listens at {place}; start the {what}, or check the port"
    if code in (errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN):
        return f"there is no way to {place}; check the address, the cable or the VPN"
    return ""
