"""Calls to servers at allowed addresses, over connections that are kept for a while for the next call. Async."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import ssl
import time
import weakref
from functools import lru_cache
from typing import Any, NamedTuple

from yarl import URL

from dpl_site.lib.addresses import AddressError, AddressPolicy, site_policy
from dpl_site.lib.connection import Connection
from dpl_site.lib.http import KEEP_ALIVE_S, why_not_connected
from dpl_site.lib.http1 import Answer, CannotConnect

USUAL_HEADERS = "User-Agent: dpl\r\nAccept: */*\r\nAccept-Encoding: identity\r\n"


class Place(NamedTuple):
    """Where a server listens; `told` is how people know it."""

    host: str
    port: int
    is_tls: bool
    told: str


class Caller:
    """Posts to servers over connections that are kept alive, each for one call at a time.

    Guarantee: a call that ends before its head is there, however it ends, has closed its connection; from then on
    `Answer.close` does. A connection is only made to what the address policy allows. Writes no rows; kill -9 closes
    everything.
    """

    def __init__(self, *, connect_s: float, silence_s: float, policy: AddressPolicy | None = None) -> None:
        """`connect_s` bounds connecting, the name's resolution included; `silence_s` each wait for more."""
        self._connect_s, self._silence_s = connect_s, silence_s
        self._policy = policy
        self._idle: dict[Place, list[Connection]] = {}
        self._all: weakref.WeakSet[Connection] = weakref.WeakSet()
        self._sweep: asyncio.TimerHandle | None = None

    async def post(self, url: URL, headers: bytes, body: bytes, *, is_fresh: bool = False) -> Answer:
        """Post a body; its answer, when its head is there. `headers` are whole lines, as `headers_of` gives them.

        `is_fresh`: over a new connection. Raises CallFailed.
        """
        place, line = _place_and_line(url)
        connection = (None if is_fresh else self._kept(place)) or await self._connect(place)
        answer = connection.send(b"%b%bContent-Length: %d\r\n\r\n" % (line, headers, len(body)), body)
        try:
            await answer.begin()
        except BaseException:
            answer.close()
            raise
        return answer

    def close(self) -> None:
        """Close every connection, those in use too."""
        if self._sweep is not None:
            self._sweep.cancel()
        for connection in list(self._all):
            connection.close()
        self._all.clear()
        self._idle.clear()

    def _kept(self, place: Place) -> Connection | None:
        """The connection to a place that was used last, unless the server is about to close it."""
        kept = self._idle.get(place)
        oldest = time.monotonic() - KEEP_ALIVE_S
        while kept:
            connection = kept.pop()
            if connection.is_open and connection.idle_since > oldest:
                return connection
            connection.close()
        return None

    async def _connect(self, place: Place) -> Connection:
        try:
            connection = await self._connected(place)
        except (OSError, AddressError) as error:  # a TimeoutError is an OSError
            raise CannotConnect(why_not_connected(error, place.host, place.told, "engine")) from error
        self._all.add(connection)
        return connection

    async def _connected(self, place: Place) -> Connection:
        """The first of the place's addresses that takes a connection. Raises OSError of the last."""
        async with asyncio.timeout(self._connect_s):
            found = await asyncio.get_running_loop().getaddrinfo(
                place.host, place.port, type=socket.SOCK_STREAM
            )
        last: OSError = OSError(errno.EADDRNOTAVAIL, f"{place.host} has no address")
        for family, kind, protocol, _, address in found:
            try:
                # One that swallows what is sent to it leaves the others their share of the time.
                async with asyncio.timeout(self._connect_s / len(found)):
                    return await self._open(place, socket.socket(family, kind, protocol), address)
            except OSError as error:
                last = error
        raise last

    async def _open(self, place: Place, made: socket.socket, address: Any) -> Connection:
        loop = asyncio.get_running_loop()
        with contextlib.ExitStack() as until_open:
            until_open.callback(made.close)
            self._check(address[0])
            made.setblocking(False)
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await loop.sock_connect(made, address)
            tls: dict[str, Any] = {"ssl": _trust(), "server_hostname": place.host} if place.is_tls else {}
            _, connection = await loop.create_connection(
                lambda: Connection(place.told, self._silence_s, lambda one: self._free(place, one)),
                sock=made,
                **tls,
            )
            until_open.pop_all()
        return connection

    def _check(self, address: str) -> None:
        """The last place to say no: names are resolved. Raises OSError."""
        try:
            (self._policy or site_policy()).check_ip(address)
        except AddressError as error:
            raise OSError(errno.EACCES, error.message) from error

    def _free(self, place: Place, connection: Connection) -> None:
        """A connection can be used again."""
        self._idle.setdefault(place, []).append(connection)
        if self._sweep is None:
            self._sweep = asyncio.get_running_loop().call_later(KEEP_ALIVE_S, self._close_idle)

    def _close_idle(self) -> None:
        """Close what has lain idle, and come again while anything is left."""
        loop = asyncio.get_running_loop()
        oldest = time.monotonic() - KEEP_ALIVE_S
        for place, kept in list(self._idle.items()):
            for connection in [one for one in kept if one.idle_since <= oldest or not one.is_open]:
                kept.remove(connection)
                connection.close()
            if not kept:
                del self._idle[place]
        self._sweep = loop.call_later(KEEP_ALIVE_S, self._close_idle) if self._idle else None


def headers_of(pairs: dict[str, str]) -> bytes:
    """Lines of a head. Raises ValueError for a value that would end its line."""
    text = "".join([f"{name}: {value}\r\n" for name, value in pairs.items()])
    if text.count("\n") != len(pairs) or text.count("\r") != len(pairs):
        raise ValueError("a header holds a line break")
    return text.encode()


@lru_cache(maxsize=1024)
def _place_and_line(url: URL) -> tuple[Place, bytes]:
    """Where a call goes, and the first lines of its head."""
    host, told = url.raw_host or "", url.host_port_subcomponent or ""
    is_tls = url.scheme == "https"
    place = Place(host, url.port or (443 if is_tls else 80), is_tls, told)
    return place, f"POST {url.raw_path_qs} HTTP/1.1\r\nHost: {told}\r\n{USUAL_HEADERS}".encode()


@lru_cache(maxsize=1)
def _trust() -> ssl.SSLContext:
    """Certificates that this machine trusts; made once, since reading them takes a while."""
    return ssl.create_default_context()
