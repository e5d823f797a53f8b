"""Node, engine and agent addresses are one's own; nothing a name resolves to gets around that."""

from __future__ import annotations

import pytest

from dpl_site.config import Reader
from dpl_site.lib.addresses import AddressError, AddressPolicy, check_address, networks


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.8.8.8",
        "::1",
        "10.1.2.3",
        "172.31.0.1",
        "192.168.7.7",
        "fd12::4",
        "100.101.1.1",
        "::ffff:10.0.0.1",
    ],
)
def test_it_allows_this_machine_private_networks_and_100_64(address: str) -> None:
    AddressPolicy().check_ip(address)


@pytest.mark.parametrize(
    ("address", "hint"),
    [
        ("169.254.169.254", "metadata"),
        ("fd00:ec2::254", "metadata"),
        ("100.100.100.200", "metadata"),
        ("::ffff:169.254.169.254", "metadata"),
        ("169.254.9.9", "link-local"),
        ("fe80::1%eth0", "link-local"),
        ("224.0.0.1", "multicast"),
        ("ff02::1", "multicast"),
        ("0.0.0.0", "127.0.0.1"),  # noqa: S104  # judged here, not bound
        ("::", "[::1]"),
        ("8.8.8.8", "DPL_ALLOWED_NETWORKS"),
        ("172.32.0.1", "DPL_ALLOWED_NETWORKS"),
        ("100.128.0.1", "DPL_ALLOWED_NETWORKS"),
        ("255.255.255.255", "DPL_ALLOWED_NETWORKS"),
        ("2001:4860:4860::8888", "DPL_ALLOWED_NETWORKS"),
        ("64:ff9b::a9fe:a9fe", "DPL_ALLOWED_NETWORKS"),
    ],
)
def test_it_refuses_others_and_says_what_to_do(address: str, hint: str) -> None:
    with pytest.raises(AddressError) as refused:
        AddressPolicy().check_ip(address)
    assert hint in refused.value.message


def test_it_allows_listed_networks_and_only_those() -> None:
    policy = AddressPolicy(networks(["203.0.113.0/24"]))
    policy.check_ip("203.0.113.9")
    with pytest.raises(AddressError):
        policy.check_ip("203.0.114.9")


def test_it_never_allows_metadata_or_link_local_even_when_listed() -> None:
    policy = AddressPolicy(networks(["0.0.0.0/0"]))
    for address in ("169.254.169.254", "169.254.1.1", "239.1.1.1", "::"):
        with pytest.raises(AddressError):
            policy.check_ip(address)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:11434", "https://[fd00::1]/x", "http://gpu-box.local:8000/v1"]
)
def test_it_passes_urls_of_allowed_addresses_and_of_names(url: str) -> None:
    check_address(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest",
        "http://2852039166/",
        "http://0xa9fea9fe/",
        "http://0251.0376.0251.0376/",
        "http://[::ffff:a9fe:a9fe]/",
        "http://0/",
        "ftp://10.0.0.1",
        "http://",
        "http://10.0.0.1:99999",
        "http://[::1",
        "10.0.0.1:11434",
    ],
)
def test_it_refuses_forbidden_addresses_in_every_spelling_and_malformed_urls(url: str) -> None:
    with pytest.raises(AddressError):
        check_address(url)


def test_it_reads_the_allowed_networks_from_the_settings(settings: object) -> None:
    with pytest.raises(AddressError):
        check_address("http://198.51.100.4")
    settings.DPL_ALLOWED_NETWORKS = ["198.51.100.0/24"]  # type: ignore[attr-defined]  # pytest-django's fixture
    check_address("http://198.51.100.4")


def test_it_stops_the_start_when_a_listed_network_is_none() -> None:
    assert Reader({"N": "203.0.113.0/24, 2001:db8::/32"}).networks("N", []) == [
        "203.0.113.0/24",
        "2001:db8::/32",
    ]
    with pytest.raises(Exception, match=r"N: .*203\.0\.113\.0/24"):
        Reader({"N": "everything"}).networks("N", [])
