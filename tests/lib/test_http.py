"""The door out: what it makes is bounded, goes where it may, and explains why it could not."""

from __future__ import annotations

import asyncio
import socket
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path

import aiohttp
import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from dpl_site.lib import http
from dpl_site.lib.addresses import AddressPolicy
from tests.engines.scripted import Exchange, scripted


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with http.session() as session:
        yield session


async def _greet(exchange: Exchange) -> None:
    await exchange.json({"path": exchange.path}, Server="tester", Set_Cookie="a=b")


async def test_it_asks_and_reads_a_whole_answer(client: aiohttp.ClientSession) -> None:
    async with scripted(_greet) as server:
        answer = await http.ask(client, "GET", f"{server.url}/x", timeout_s=10)
    assert (answer.status, answer.body) == (200, b'{"path": "/x"}')
    assert (answer.content_type, answer.server) == ("application/json", "tester")


async def test_it_keeps_connections_and_no_cookies(client: aiohttp.ClientSession) -> None:
    async with scripted(_greet) as server:
        for _ in range(3):
            await http.ask(client, "GET", f"http://localhost:{server.port}", timeout_s=10)
        assert server.connections == 1
        assert not any("cookie" in exchange.headers for exchange in server.exchanges)


async def test_it_takes_a_new_connection_each_time_when_told_to() -> None:
    async with scripted(_greet) as server, http.session(keep_alive=False) as client:
        for _ in range(3):
            await http.ask(client, "GET", server.url, timeout_s=10)
        assert server.connections == 3


async def test_it_follows_no_redirects(client: aiohttp.ClientSession) -> None:
    async def away(exchange: Exchange) -> None:
        await exchange.whole(b"", 302, Location="http://169.254.169.254/")

    async with scripted(away) as server:
        assert (await http.ask(client, "GET", server.url, timeout_s=10)).status == 302
        assert len(server.exchanges) == 1


async def test_it_reads_no_proxy_from_the_environment(
    client: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    async with scripted(_greet) as server:
        assert (await http.ask(client, "GET", server.url, timeout_s=10)).status == 200


async def test_it_bounds_the_size_of_an_answer_announced_or_not(client: aiohttp.ClientSession) -> None:
    async def large(exchange: Exchange) -> None:
        if exchange.path == "/announced":
            await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n")
            await exchange.left()
        else:
            await exchange.begin()
            for _ in range(20):
                await exchange.chunk(b"x" * 100)

    async with scripted(large) as server:
        for path in ("/announced", "/chunked"):
            with pytest.raises(http.TooLarge):
                await http.ask(client, "GET", server.url + path, timeout_s=10, max_bytes=1000)


async def test_it_refuses_what_a_name_resolves_to_at_connect_time() -> None:
    class NothingIsLocal(AddressPolicy):
        def check_ip(self, text: str) -> None:
            super().check_ip("169.254.169.254")

    async with scripted(_greet) as server, http.session(policy=NothingIsLocal()) as client:
        for host in ("localhost", "127.0.0.1"):
            with pytest.raises(aiohttp.ClientConnectorError) as refused:
                await http.ask(client, "GET", f"http://{host}:{server.port}", timeout_s=10)
            assert "metadata" in http.explain(refused.value, server.url)
        assert server.connections == 0


async def test_it_says_that_nothing_listens(client: aiohttp.ClientSession) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    text = await _explained(client, f"http://127.0.0.1:{port}")
    assert text == f"nothing listens at 127.0.0.1:{port}; start the engine, or check the port"


async def test_it_says_that_a_name_is_not_found(client: aiohttp.ClientSession) -> None:
    assert "no-such-host.invalid is not found" in await _explained(client, "http://no-such-host.invalid:1")


async def test_it_says_that_no_answer_came_in_time(client: aiohttp.ClientSession) -> None:
    async def silent(exchange: Exchange) -> None:
        await exchange.left()

    async with scripted(silent) as server:
        assert "firewall" in await _explained(client, server.url, timeout_s=0.1)


async def test_it_says_that_the_connection_was_closed(client: aiohttp.ClientSession) -> None:
    async def rude(exchange: Exchange) -> None:
        exchange.hang_up()

    async with scripted(rude) as server:
        assert "closed the connection without an answer" in await _explained(client, server.url)


async def test_it_says_that_it_is_not_http(client: aiohttp.ClientSession) -> None:
    async def ssh(exchange: Exchange) -> None:
        await exchange.send(b"SSH-2.0-OpenSSH_9.9\r\n")
        exchange.hang_up()

    async with scripted(ssh) as server:
        assert "not in HTTP" in await _explained(client, server.url)


async def test_it_says_that_it_is_not_tls(client: aiohttp.ClientSession) -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(64)
        writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(plain, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        assert "try http:// instead of https://" in await _explained(client, f"https://127.0.0.1:{port}")


async def test_it_says_that_a_certificate_is_not_trusted(
    client: aiohttp.ClientSession, tmp_path: Path
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(_self_signed(tmp_path / "own.pem"))
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0, ssl=context)
    async with server:
        port = server.sockets[0].getsockname()[1]
        assert "is not trusted" in await _explained(client, f"https://127.0.0.1:{port}")


def _self_signed(path: Path) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "engine")])
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    made = made.serial_number(1).not_valid_before(datetime(2026, 1, 1)).not_valid_after(datetime(2100, 1, 1))
    written = made.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)
    path.write_bytes(written + key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return path


async def _explained(client: aiohttp.ClientSession, url: str, timeout_s: float = 2.0) -> str:
    with pytest.raises((aiohttp.ClientError, TimeoutError)) as failed:
        await http.ask(client, "GET", url, timeout_s=timeout_s)
    return http.explain(failed.value, url)


def test_it_makes_httpx_clients_that_stay_where_they_are_sent() -> None:
    timeouts = http.Timeouts(connect_s=1, first_byte_s=2, idle_s=3, total_s=4)
    transport = httpx.MockTransport(
        lambda request: httpx.Response(302, headers={"Location": "http://elsewhere/"})
    )
    with http.outside(timeouts=timeouts, transport=transport) as client:
        assert client.get("http://here/").status_code == 302
        assert (client.timeout.connect, client.timeout.read) == (1, 3)
        assert not client.trust_env


async def test_it_makes_httpx_clients_for_async_code_too() -> None:
    timeouts = http.Timeouts(connect_s=1, first_byte_s=2, idle_s=3, total_s=4)
    transport = httpx.MockTransport(lambda request: httpx.Response(200, text="here"))
    async with http.outside_async(timeouts=timeouts, transport=transport) as client:
        assert (await client.get("http://here/")).text == "here"


def test_it_loads_no_client_library_before_one_is_made() -> None:
    check = "import sys, dpl_site.lib.http; sys.exit(bool({'aiohttp', 'httpx'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0
