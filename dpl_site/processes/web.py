"""Serves the site: `manage.py web`. One uvicorn server in this process, bound, watched and stopped by us."""

from __future__ import annotations

import contextlib
import errno
import gc
import ipaddress
import logging
import signal
import socket
import warnings
from collections.abc import Iterator

import uvicorn
from django.conf import settings

from dpl_site.lib.parent import watch_parent
from dpl_site.processes.connections import BoundedConnection
from dpl_site.processes.refusal import CannotStart

BACKLOG = 2048
ACCEPTS = 16
"""How many connections are taken in one turn of the event loop. uvloop takes one for each listening socket, which under
load let a new client wait for seconds behind those that were there."""
STOP_WITHIN_S = 5
GARBAGE = (40_000, 10, 10)
"""New objects before the youngest are looked through, and so on. Hundreds of requests in hand are twenty thousand
objects that come and go by themselves; looking through them took a twentieth of the process, and found nothing.
"""
LARGEST_SOCKET_MESSAGE = 8 * 1024 * 1024
"""A question of the chat page carries its conversation and pictures (`inference.chat_pages.MOST_QUESTION_BYTES`)."""

logger = logging.getLogger(__name__)


class Server(uvicorn.Server):
    """uvicorn's server, whose end by a signal is an end in good order: exit code 0.

    Guarantee: on SIGTERM, SIGINT or the parent's end it takes no new connections, gives requests 5 s, and
    ends. It writes no rows itself. On kill -9 the kernel closes its sockets.
    """

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop at SIGTERM and SIGINT, as uvicorn does, but without raising them again afterwards."""
        numbers = (signal.SIGTERM, signal.SIGINT)
        before = {number: signal.signal(number, self.handle_exit) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to serve. What the site is made of stays for good, so the collector of garbage passes it over."""
        await super().startup(sockets)
        gc.collect()
        gc.freeze()
        gc.set_threshold(*GARBAGE)

    def stop(self) -> None:
        """Begin to stop; from any thread."""
        self.should_exit = True


def serve(host: str, port: int) -> None:
    """Serve until told to stop. Raises CannotStart when the address cannot be had."""
    # WhiteNoise's files come as sync iterators; they are small, and people need not be told.
    warnings.filterwarnings("ignore", message="StreamingHttpResponse must consume synchronous iterators")
    with contextlib.closing(listen(host, port)) as listener:
        server = Server(configuration())
        watch_parent(server.stop)
        server.run(sockets=[listener, *(listener.dup() for _ in range(ACCEPTS - 1))])


def configuration() -> uvicorn.Config:
    """How uvicorn runs the site."""
    return uvicorn.Config(
        "dpl_site.asgi:application",
        loop="uvloop",
        http=BoundedConnection,
        ws="websockets-sansio",
        ws_max_size=LARGEST_SOCKET_MESSAGE,
        ws_per_message_deflate=False,
        lifespan="on",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=bool(settings.DPL_TRUSTED_PROXIES),
        forwarded_allow_ips=settings.DPL_TRUSTED_PROXIES,
        backlog=BACKLOG,
        timeout_graceful_shutdown=STOP_WITHIN_S,
    )


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises CannotStart, which names the port and the flag that changes it."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family, backlog=BACKLOG)
    except OSError as error:
        raise CannotStart(_explained(host, port, error)) from error


def _explained(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"Port {port} is in use by another program. End that, or choose another port with --port."
    if error.errno == errno.EACCES:
        return f"Port {port} may not be used by this user. Choose one above 1023 with --port."
    if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
        return f"{host} is not an address of this machine. Use 127.0.0.1, or 0.0.0.0 for all, with --host."
    return f"Cannot listen at {host}, port {port}: {error}. Choose others with --host and --port."


def url_of(host: str, port: int) -> str:
    """The address to open on this machine for a server that listens at `host`."""
    with contextlib.suppress(ValueError):
        address = ipaddress.ip_address(host)
        if address.is_unspecified:
            return f"http://127.0.0.1:{port}" if address.version == 4 else f"http://[::1]:{port}"
        return f"http://[{host}]:{port}" if address.version == 6 else f"http://{host}:{port}"
    return f"http://{host}:{port}"
