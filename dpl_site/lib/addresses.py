"""Which addresses DPL may call: nodes, engines and agents live on this machine, a private network or 100.64/10.

`check_address` judges what people enter. The same policy judges every IP address again when a connection is
made, after names were resolved, so that a name that changes its answer does not pass.
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import urlsplit

from django.conf import settings

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_ALLOWED = tuple(
    ipaddress.ip_network(text)
    for text in (
        "127.0.0.0/8",
        "::1/128",
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "fc00::/7",
        "100.64.0.0/10",
    )
)
# Inside the allowed networks, or reachable from a cloud machine, and never an engine: they hand out credentials.
_METADATA = tuple(
    ipaddress.ip_address(text)
    for text in ("169.254.169.254", "fd00:ec2::254", "100.100.100.200", "168.63.129.16", "192.0.0.192")
)


class AddressError(ValueError):
    """An address that DPL does not call. `message` says why and what to do."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


@dataclass(frozen=True, slots=True)
class AddressPolicy:
    """Which IP addresses may be called: the private ones, and the networks in `extra`, which `setting` lists."""

    extra: tuple[Network, ...] = ()
    setting: str = "DPL_ALLOWED_NETWORKS"

    def check_ip(self, text: str) -> None:
        """Raise AddressError when this IP address is forbidden; a zone (`%eth0`) is read over."""
        address = _plain(ipaddress.ip_address(text.partition("%")[0]))
        never = _never(address)
        if never:
            raise AddressError(never)
        if not any(address in network for network in (*_ALLOWED, *self.extra)):
            raise AddressError(
                f"{address} is a public address. Use one of your own network, "
                f"or list its network in {self.setting}."
            )

    def check_url(self, url: str) -> None:
        """Raise AddressError when the URL is malformed or names a forbidden IP address.

        A host name passes here: what it resolves to is judged when a connection is made.
        """
        try:
            parts = urlsplit(url)
            host, _ = parts.hostname, parts.port
        except ValueError as error:
            raise AddressError(f"{url!r} is not an address: {error}.") from error
        if parts.scheme not in ("http", "https") or not host:
            raise AddressError(f"{url!r} is not an address. Write it like http://192.168.1.20:11434.")
        literal = _literal(host)
        if literal is not None:
            self.check_ip(str(literal))


def lan_address() -> str:
    """The address by which this machine reaches its network, so that others may reach it; loopback without one."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("10.255.255.255", 9))  # sends nothing
        return str(probe.getsockname()[0])
    return "127.0.0.1"


def networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """CIDR texts as networks. Raises ValueError that names the bad one."""
    return tuple(ipaddress.ip_network(text) for text in texts)


def site_policy() -> AddressPolicy:
    """The policy of this installation: the defaults and DPL_ALLOWED_NETWORKS."""
    return _policy(tuple(settings.DPL_ALLOWED_NETWORKS))


def check_address(url: str) -> None:
    """Raise AddressError, with a sentence for people, when this installation must not call the URL."""
    site_policy().check_url(url)


@lru_cache(maxsize=8)
def _policy(texts: tuple[str, ...]) -> AddressPolicy:
    return AddressPolicy(networks(texts))


def _never(address: Address) -> str:
    """Why no setting can allow this address; empty when one could."""
    if address in _METADATA:
        return f"{address} is a cloud's metadata service, never an engine or an agent."
    if address.is_unspecified:
        loopback = "127.0.0.1" if address.version == 4 else "[::1]"
        return f"{address} means every address of a machine. For this machine use {loopback}."
    if address.is_link_local:
        return f"{address} is a link-local address. Give the machine an address of your network."
    if address.is_multicast:
        return f"{address} is a multicast address. Use the address of one machine."
    return ""


def _plain(address: Address) -> Address:
    """The IPv4 address inside an IPv6 one that maps it."""
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _literal(host: str) -> Address | None:
    """The IP address that a host is, in whatever spelling the system accepts (127.1, 0x7f000001); None for names."""
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        pass
    if not host[:1].isdigit():
        return None
    try:
        return ipaddress.IPv4Address(socket.inet_aton(host))
    except OSError:
        return None
