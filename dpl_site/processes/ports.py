"""Free ports of this machine, and the address under which others reach it."""

from __future__ import annotations

import contextlib
import socket
from argparse import ArgumentTypeError

from django.db import connection

LOOPBACK = "127.0.0.1"
_TRIES = 100


def port_number(text: str) -> int:
    """A port as people write it, 0 for any. Raises ArgumentTypeError with what is wrong."""
    if not (text.isascii() and text.isdigit() and int(text) < 65536):
        raise ArgumentTypeError(f"{text!r} is not a port: use a number from 1 to 65535")
    return int(text)


def is_free(port: int, host: str = LOOPBACK) -> bool:
    """Whether a server could listen there now."""
    with contextlib.suppress(OSError), socket.create_server((host, port)):
        return True
    return False


def free_port(usual: int, host: str = LOOPBACK, *, but: frozenset[int] = frozenset()) -> int:
    """The usual port when it is free, else the next one that is, else any (0: any); never one of `but`."""
    for port in range(usual, min(usual + _TRIES, 65536)) if usual else ():
        if port not in but and is_free(port, host):
            return port
    with socket.create_server((host, 0)) as server:
        return int(server.getsockname()[1])


def own_address() -> str:
    """The address of this machine that all processes of the installation reach: loopback while they are all here.

    They may be on several machines when the database is a server elsewhere; then it is the address from
    which this machine reaches that server.
    """
    host = str(connection.settings_dict.get("HOST") or "")
    if connection.vendor == "sqlite" or host.startswith("/") or not host:
        return LOOPBACK
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((host, int(connection.settings_dict.get("PORT") or 5432)))  # sends nothing
        return str(probe.getsockname()[0])
    return LOOPBACK
