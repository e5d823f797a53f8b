"""Which base URL is meant by what people write into OLLAMA_HOST. Pure."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import SplitResult, urlsplit

DEFAULT_PORT = 11434
_SCHEME_PORTS = {"http": 80, "https": 443}
_API_SUFFIX = re.compile(r"/(?:api|v1)(?:/.*)?$")


def engine_base_url(written: str) -> str:
    """The engine's base URL without a trailing slash, or ValueError saying what is wrong.

    Takes `host`, `host:port`, `:port`, `[::1]:port` and whole URLs, an API path at the end included. Without
    a scheme the port is Ollama's; with one it is the scheme's, as Ollama itself reads this variable. An
    address that means "every interface" becomes the loopback one.
    """
    text = _bracketed(written.strip().strip("\"'"))
    parts = _split(text)
    host = _callable_host(parts.hostname or "")
    default = _SCHEME_PORTS[parts.scheme] if "://" in text else DEFAULT_PORT
    port = _port(parts) or default
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown}:{port}{_API_SUFFIX.sub('', parts.path).rstrip('/')}"


def _bracketed(text: str) -> str:
    """A bare IPv6 address in the brackets that keep its colons from being taken for a port's."""
    try:
        return f"[{ipaddress.IPv6Address(text)}]"
    except ValueError:
        return text


def _split(text: str) -> SplitResult:
    if re.search(r"\s", text):
        raise ValueError("an address has no spaces in it")
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
    except ValueError as error:
        raise ValueError(f"this is no address: {error}") from None
    if parts.scheme not in _SCHEME_PORTS:
        raise ValueError(f"the scheme must be http or https, not {parts.scheme}")
    if "@" in parts.netloc:
        raise ValueError("an address with a user name or a password in it is not supported")
    if parts.query or parts.fragment:
        raise ValueError("an address has no ? or # in it")
    return parts


def _callable_host(host: str) -> str:
    """The host to call where a server was told to listen on `host`."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host or "127.0.0.1"
    if not address.is_unspecified:
        return host
    return "::1" if address.version == 6 else "127.0.0.1"


def _port(parts: SplitResult) -> int | None:
    try:
        port = parts.port
    except ValueError:
        raise ValueError("the port must be a number from 1 to 65535") from None
    if port == 0:
        raise ValueError("the port must be a number from 1 to 65535")
    return port
