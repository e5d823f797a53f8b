"""Whom an Ollama on loopback answers: requests that name a local host, and pages of its own. Pure.

A proxy in front of it must therefore send the engine's own Host, and no Origin of somebody else's page.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Mapping
from functools import lru_cache
from urllib.parse import urlsplit

_LOCAL_DOMAINS = (".localhost", ".local", ".internal")
_LOCAL_SCHEMES = {"app", "file", "tauri", "vscode-webview", "vscode-file"}


def is_welcome(listens_on: str, headers: Mapping[str, str]) -> bool:
    """Whether an Ollama that listens on this address answers a request with these headers."""
    if not _is_loopback(listens_on):
        return True
    origin = headers.get("origin")
    return _is_local_host(headers.get("host", "")) and (origin is None or _is_local_origin(origin))


@lru_cache(maxsize=64)
def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@lru_cache(maxsize=256)
def _is_local_host(header: str) -> bool:
    try:
        host = (urlsplit(f"//{header}").hostname or "").lower()
    except ValueError:
        return False
    if host in {"", "localhost", socket.gethostname().lower()} or host.endswith(_LOCAL_DOMAINS):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or address.is_private or address.is_unspecified


@lru_cache(maxsize=256)
def _is_local_origin(origin: str) -> bool:
    try:
        parts = urlsplit(origin)
        host = parts.hostname or ""
    except ValueError:
        return False
    if parts.scheme in _LOCAL_SCHEMES:
        return True
    return host == "localhost" or host == "127.0.0.1" or host == str(ipaddress.IPv4Address(0))
